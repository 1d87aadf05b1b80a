#include "tests/sim/routes.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/files.h"
#include "tests/sim/interactions.h"
#include "tests/sim/models.h"
#include "tests/sim/predict.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

enum origin { ORIGIN_PROVIDER, ORIGIN_FOREIGN, ORIGIN_CONTROL };

/* In a path, {v} takes an API version, {m} a model's id and {i} any other id. */
struct route {
    const char *method;
    const char *path;
    enum origin origin;
    enum dialect dialect;
    enum event event;
    void (*serve)(struct exchange *exchange);
};

static const struct route routes[] = {
    {"GET", "/{v}/models/{m}/operations/{i}", ORIGIN_PROVIDER, DIALECT_PREDICT, EVENT_POLL,
     predict_serve_poll},
    {"GET", "/{v}/interactions/{i}", ORIGIN_PROVIDER, DIALECT_INTERACTIONS, EVENT_POLL,
     interactions_serve_get},
    {"POST", "/{v}/interactions", ORIGIN_PROVIDER, DIALECT_INTERACTIONS, EVENT_SUBMIT,
     interactions_serve_create},
    {"POST", "/{v}/models/{m}:predictLongRunning", ORIGIN_PROVIDER, DIALECT_PREDICT, EVENT_SUBMIT,
     predict_serve_submit},
    {"GET", "/{v}/files/{i}", ORIGIN_PROVIDER, DIALECT_PREDICT, EVENT_FILE, files_serve_get},
    {"GET", "/{v}/files/{i}:download", ORIGIN_PROVIDER, DIALECT_PREDICT, EVENT_OTHER,
     files_serve_link},
    {"GET", "/download/{v}/files/{i}:download", ORIGIN_PROVIDER, DIALECT_PREDICT, EVENT_DOWNLOAD,
     files_serve_download},
    {"POST", "/{v}/interactions/{i}/cancel", ORIGIN_PROVIDER, DIALECT_INTERACTIONS, EVENT_CANCEL,
     interactions_serve_cancel},
    {"DELETE", "/{v}/interactions/{i}", ORIGIN_PROVIDER, DIALECT_INTERACTIONS, EVENT_OTHER,
     interactions_serve_delete},
    {"GET", "/{v}/models", ORIGIN_PROVIDER, DIALECT_PREDICT, EVENT_OTHER, models_serve_list},
    {"GET", "/{v}/models/{m}", ORIGIN_PROVIDER, DIALECT_PREDICT, EVENT_OTHER, models_serve_one},
    {"POST", "/{v}/models/{m}:{i}", ORIGIN_PROVIDER, DIALECT_PREDICT, EVENT_OTHER,
     predict_serve_method},
    {"GET", "/media/{i}", ORIGIN_FOREIGN, DIALECT_PREDICT, EVENT_DOWNLOAD, files_serve_download},
    {"GET", "/__stats", ORIGIN_CONTROL, DIALECT_PREDICT, EVENT_OTHER, stats_serve},
    {"GET", "/__operations", ORIGIN_CONTROL, DIALECT_PREDICT, EVENT_OTHER, stats_serve_operations},
    {"POST", "/__reset", ORIGIN_CONTROL, DIALECT_PREDICT, EVENT_OTHER, stats_serve_reset},
    {"GET", "/__rules", ORIGIN_CONTROL, DIALECT_PREDICT, EVENT_OTHER, rules_serve_show},
    {"POST", "/__rules", ORIGIN_CONTROL, DIALECT_PREDICT, EVENT_OTHER, rules_serve_set},
    {"DELETE", "/__rules", ORIGIN_CONTROL, DIALECT_PREDICT, EVENT_OTHER, rules_serve_clear},
};

static bool is_version(const char *text, size_t length)
{
    static const char *const versions[] = {"v1beta", "v1", "v1alpha"};
    for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
        if (strlen(versions[i]) == length && memcmp(versions[i], text, length) == 0) {
            return true;
        }
    }
    return false;
}

/* Copies a part of the path; false if it is empty, too long, or no version where one must be. */
static bool capture(struct exchange *exchange, char what, const char *text, size_t length)
{
    char *to = what == 'v' ? exchange->version : what == 'm' ? exchange->model : exchange->id;
    size_t size = what == 'v'   ? sizeof(exchange->version)
                  : what == 'm' ? sizeof(exchange->model)
                                : sizeof(exchange->id);
    if (length == 0 || length >= size || (what == 'v' && !is_version(text, length))) {
        return false;
    }
    memcpy(to, text, length);
    to[length] = '\0';
    return true;
}

static bool match(struct exchange *exchange, const char *pattern)
{
    const char *path = exchange->path;
    while (*pattern) {
        if (*pattern != '{') {
            if (*pattern++ != *path++) {
                return false;
            }
            continue;
        }
        size_t length = strcspn(path, "/:");
        if (!capture(exchange, pattern[1], path, length)) {
            return false;
        }
        path += length;
        pattern += 3;
    }
    return *path == '\0';
}

static const struct route *find(struct exchange *exchange)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
        const struct route *route = &routes[i];
        if (strcmp(route->method, exchange->method) == 0 &&
            exchange->foreign == (route->origin == ORIGIN_FOREIGN) &&
            match(exchange, route->path)) {
            return route;
        }
    }
    return NULL;
}

static const char *look_up(const struct exchange *exchange, enum MHD_ValueKind kind,
                           const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, kind, name);
}

static bool is_known_key(const struct exchange *exchange, const char *key)
{
    const char *expected = exchange->sim->options.key;
    return *key && (!expected || strcmp(key, expected) == 0);
}

static void refuse_key(struct exchange *exchange, bool missing)
{
    struct reply_problem problem = {.status = 401};
    if (missing) {
        problem.message = "Method doesn't allow unregistered callers (callers without established "
                          "identity). Please use API Key or other form of API consumer identity "
                          "to call this API.";
    } else {
        problem.message = "API key not valid. Please pass a valid API key.";
    }
    if (exchange->dialect != DIALECT_INTERACTIONS) {
        problem.status = missing ? 403 : 400;
        problem.reason = missing ? NULL : "API_KEY_INVALID";
    }
    reply_problem(exchange, SHAPE_DIALECT, &problem);
}

static bool check_key(struct exchange *exchange)
{
    struct stats *stats = &exchange->sim->stats;
    const char *header = look_up(exchange, MHD_HEADER_KIND, "x-goog-api-key");
    const char *query = look_up(exchange, MHD_GET_ARGUMENT_KIND, "key");
    const char *key = header && *header ? header : query && *query ? query : NULL;
    stats->key_in_url += query != NULL;
    if (!key) {
        stats->key_missing++;
        refuse_key(exchange, true);
        return false;
    }
    if (!is_known_key(exchange, key)) {
        stats->key_wrong++;
        refuse_key(exchange, false);
        return false;
    }
    stats->key_header_ok += key == header;
    return true;
}

static void count_foreign_keys(struct exchange *exchange)
{
    static const char *const headers[] = {"x-goog-api-key", "Authorization", "Cookie",
                                          "x-litellm-api-key", "Proxy-Authorization"};
    bool seen = look_up(exchange, MHD_GET_ARGUMENT_KIND, "key") != NULL;
    for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
        seen = seen || look_up(exchange, MHD_HEADER_KIND, headers[i]) != NULL;
    }
    exchange->sim->stats.key_foreign += seen;
}

bool routes_early(struct exchange *exchange)
{
    struct stats *stats = &exchange->sim->stats;
    const struct route *route = find(exchange);
    exchange->serve = route ? route->serve : NULL;
    exchange->needs_key = !route || route->origin == ORIGIN_PROVIDER;
    exchange->dialect = route ? route->dialect : DIALECT_PREDICT;
    exchange->event = route ? route->event : EVENT_OTHER;
    stats->submissions += exchange->event == EVENT_SUBMIT;
    if (exchange->foreign) {
        count_foreign_keys(exchange);
    }
    if (!route || route->origin == ORIGIN_CONTROL || !rules_reset_early(exchange)) {
        return true;
    }
    stats->refused += exchange->event == EVENT_SUBMIT;
    return false;
}

void routes_dispatch(struct exchange *exchange)
{
    struct stats *stats = &exchange->sim->stats;
    uint64_t accepted = stats->accepted;
    stats->polls += exchange->event == EVENT_POLL;
    stats->cancels += exchange->event == EVENT_CANCEL;
    if (!exchange->serve) {
        reply_error(exchange, 404, NULL, "veosim has no route %s %.200s", exchange->method,
                    exchange->path);
    } else if (!exchange->needs_key || check_key(exchange)) {
        exchange->serve(exchange);
    }
    stats->refused += exchange->event == EVENT_SUBMIT && stats->accepted == accepted;
}

void routes_operation_ended(struct exchange *exchange)
{
    interactions_serve_held(exchange);
    exchange->operation = NULL;
}

bool routes_poll(struct exchange *exchange, struct operation *operation)
{
    operation_polled(operation);
    exchange->sim->stats.polls_after_end += operation->told;
    if (rules_intercept(exchange, operation->prompt)) {
        return false;
    }
    operation->told = operation->told || (operation->ended && !exchange->rule);
    return true;
}
