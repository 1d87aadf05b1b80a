#include "tests/sim/routes.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/auth.h"
#include "tests/sim/chat.h"
#include "tests/sim/content.h"
#include "tests/sim/files.h"
#include "tests/sim/interactions.h"
#include "tests/sim/models.h"
#include "tests/sim/predict.h"
#include "tests/sim/reply.h"
#include "tests/sim/seed.h"
#include "tests/sim/sim.h"
#include "tests/sim/vertex.h"
#include "tests/sim/videos.h"

/* Which of the two servers it is of, and whether it is of the provider or of the simulator. */
enum origin { ORIGIN_PROVIDER, ORIGIN_SEED, ORIGIN_FOREIGN, ORIGIN_CONTROL };

/* In a path, {v} takes an API version, {w} one of Vertex, {p} a project, {l} a location, {m} a
 * model's id or a bucket, and {i} any other id. */
struct route {
    const char *method;
    const char *path;
    enum origin origin;
    enum auth auth;
    enum dialect dialect;
    enum event event;
    void (*serve)(struct exchange *exchange);
};

#define PUBLISHED "/{w}/projects/{p}/locations/{l}/publishers/google/models/{m}"
#define GLOBAL    "/{w}/projects/{p}/locations/{l}/interactions"

#define GEMINI  ORIGIN_PROVIDER, AUTH_KEY, DIALECT_PREDICT
#define OMNI    ORIGIN_PROVIDER, AUTH_KEY, DIALECT_INTERACTIONS
#define VERTEX  ORIGIN_PROVIDER, AUTH_BEARER, DIALECT_VERTEX
#define VOMNI   ORIGIN_PROVIDER, AUTH_BEARER, DIALECT_INTERACTIONS
#define GATEWAY ORIGIN_PROVIDER, AUTH_GATEWAY, DIALECT_VIDEOS
#define COMPAT  ORIGIN_PROVIDER, AUTH_GOOGLE, DIALECT_CHAT
#define SEED    ORIGIN_SEED, AUTH_KEY, DIALECT_PREDICT
#define TOKEN   ORIGIN_PROVIDER, AUTH_NONE, DIALECT_VERTEX
#define FOREIGN ORIGIN_FOREIGN, AUTH_NONE, DIALECT_PREDICT
#define CONTROL ORIGIN_CONTROL, AUTH_NONE, DIALECT_PREDICT

static const struct route routes[] = {
    {"GET", "/{v}/models/{m}/operations/{i}", GEMINI, EVENT_POLL, predict_serve_poll},
    {"GET", "/{v}/interactions/{i}", OMNI, EVENT_POLL, interactions_serve_get},
    {"POST", "/{v}/interactions", OMNI, EVENT_SUBMIT, interactions_serve_create},
    {"POST", "/{v}/models/{m}:predictLongRunning", GEMINI, EVENT_SUBMIT, predict_serve_submit},
    {"GET", "/{v}/files/{i}", GEMINI, EVENT_FILE, files_serve_get},
    {"GET", "/{v}/files/{i}:download", GEMINI, EVENT_OTHER, files_serve_link},
    {"GET", "/download/{v}/files/{i}:download", GEMINI, EVENT_DOWNLOAD, files_serve_download},
    {"POST", "/{v}/interactions/{i}/cancel", OMNI, EVENT_CANCEL, interactions_serve_cancel},
    {"DELETE", "/{v}/interactions/{i}", OMNI, EVENT_OTHER, interactions_serve_delete},
    {"GET", "/{v}/models", GEMINI, EVENT_OTHER, models_serve_list},
    {"GET", "/{v}/models/{m}", GEMINI, EVENT_OTHER, models_serve_one},
    {"POST", "/{v}/models/{m}:generateContent", GEMINI, EVENT_CHAT, content_serve_generate},
    {"POST", "/{v}/models/{m}:streamGenerateContent", GEMINI, EVENT_CHAT, content_serve_stream},
    {"POST", "/{v}/models/{m}:{i}", GEMINI, EVENT_OTHER, predict_serve_method},

    {"POST", PUBLISHED ":predictLongRunning", VERTEX, EVENT_SUBMIT, vertex_serve_submit},
    {"POST", PUBLISHED ":fetchPredictOperation", VERTEX, EVENT_POLL, vertex_serve_fetch},
    {"POST", GLOBAL, VOMNI, EVENT_SUBMIT, interactions_serve_create},
    {"GET", GLOBAL "/{i}", VOMNI, EVENT_POLL, interactions_serve_get},
    {"POST", GLOBAL "/{i}/cancel", VOMNI, EVENT_CANCEL, interactions_serve_cancel},
    {"DELETE", GLOBAL "/{i}", VOMNI, EVENT_OTHER, interactions_serve_delete},
    {"GET", "/storage/v1/b/{m}/o/{i}", VERTEX, EVENT_DOWNLOAD, vertex_serve_object},
    {"POST", "/token", TOKEN, EVENT_TOKEN, token_serve_exchange},
    {"GET", "/computeMetadata/v1/instance/service-accounts/default/token", TOKEN, EVENT_TOKEN,
     token_serve_metadata},

    {"POST", "/v1/videos", GATEWAY, EVENT_SUBMIT, videos_serve_create},
    {"GET", "/v1/videos/{i}", GATEWAY, EVENT_POLL, videos_serve_get},
    {"GET", "/v1/videos/{i}/content", GATEWAY, EVENT_DOWNLOAD, videos_serve_content},

    {"POST", "/{v}/openai/chat/completions", COMPAT, EVENT_CHAT, chat_serve_google},
    {"POST", "/v1/chat/completions", GATEWAY, EVENT_CHAT, chat_serve_litellm},
    {"POST", "/chat/completions", GATEWAY, EVENT_CHAT, chat_serve_litellm},

    {"POST", "/models/{m}:predictLongRunning", SEED, EVENT_SUBMIT, seed_serve_submit},
    {"GET", "/models/{m}/operations/{i}", SEED, EVENT_POLL, predict_serve_poll},

    {"GET", "/media/{i}", FOREIGN, EVENT_DOWNLOAD, files_serve_download},
    {"GET", "/__stats", CONTROL, EVENT_OTHER, stats_serve},
    {"GET", "/__operations", CONTROL, EVENT_OTHER, stats_serve_operations},
    {"GET", "/__chats", CONTROL, EVENT_OTHER, chat_log_serve},
    {"POST", "/__reset", CONTROL, EVENT_OTHER, stats_serve_reset},
    {"POST", "/__revoke", CONTROL, EVENT_OTHER, token_serve_revoke},
    {"GET", "/__rules", CONTROL, EVENT_OTHER, rules_serve_show},
    {"POST", "/__rules", CONTROL, EVENT_OTHER, rules_serve_set},
    {"DELETE", "/__rules", CONTROL, EVENT_OTHER, rules_serve_clear},
};

static bool is_one_of(const char *const *list, const char *text, size_t length)
{
    for (; *list; list++) {
        if (strlen(*list) == length && memcmp(*list, text, length) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_version(char what, const char *text, size_t length)
{
    static const char *const versions[] = {"v1beta", "v1", "v1alpha", NULL};
    static const char *const vertex_versions[] = {"v1", "v1beta1", NULL};
    return is_one_of(what == 'v' ? versions : vertex_versions, text, length);
}

static char *place_of(struct exchange *exchange, char what, size_t *ret_size)
{
    switch (what) {
    case 'v':
    case 'w':
        *ret_size = sizeof(exchange->version);
        return exchange->version;
    case 'm':
        *ret_size = sizeof(exchange->model);
        return exchange->model;
    case 'p':
        *ret_size = sizeof(exchange->project);
        return exchange->project;
    case 'l':
        *ret_size = sizeof(exchange->location);
        return exchange->location;
    default:
        *ret_size = sizeof(exchange->id);
        return exchange->id;
    }
}

/* Copies a part of the path, decoded; false if it is empty, too long, or no version where one must
 * be. */
static bool capture(struct exchange *exchange, char what, const char *text, size_t length)
{
    size_t size;
    char *to = place_of(exchange, what, &size);
    if (length == 0 || length >= size ||
        ((what == 'v' || what == 'w') && !is_version(what, text, length))) {
        return false;
    }
    memcpy(to, text, length);
    to[length] = '\0';
    MHD_http_unescape(to);
    return true;
}

static bool match_path(struct exchange *exchange, const char *pattern)
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

static bool match(struct exchange *exchange, const struct route *route)
{
    *exchange->version = *exchange->model = *exchange->id = '\0';
    *exchange->project = *exchange->location = '\0';
    return strcmp(route->method, exchange->method) == 0 &&
           exchange->foreign == (route->origin == ORIGIN_FOREIGN) &&
           (route->origin != ORIGIN_SEED || exchange->sim->options.seed_route) &&
           match_path(exchange, route->path);
}

static const struct route *find(struct exchange *exchange)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
        if (match(exchange, &routes[i])) {
            return &routes[i];
        }
    }
    return NULL;
}

static void count_chat(struct exchange *exchange)
{
    struct stats *stats = &exchange->sim->stats;
    exchange->chats = true;
    stats->chat_requests++;
    stats->chat_now++;
    if (stats->chat_now > stats->chat_now_max) {
        stats->chat_now_max = stats->chat_now;
    }
}

bool routes_early(struct exchange *exchange)
{
    struct stats *stats = &exchange->sim->stats;
    const struct route *route = find(exchange);
    exchange->route = route;
    exchange->dialect = route ? route->dialect : DIALECT_PREDICT;
    exchange->event = route ? route->event : EVENT_OTHER;
    stats->submissions += exchange->event == EVENT_SUBMIT;
    if (exchange->event == EVENT_CHAT) {
        count_chat(exchange);
    }
    if (exchange->foreign) {
        auth_count_foreign(exchange);
    }
    if (!route || route->origin == ORIGIN_CONTROL || !rules_reset_early(exchange)) {
        return true;
    }
    stats->refused += exchange->event == EVENT_SUBMIT;
    return false;
}

/* Omni is in one place only. */
static bool is_served_there(const struct exchange *exchange)
{
    return exchange->dialect != DIALECT_INTERACTIONS || !*exchange->location ||
           strcmp(exchange->location, "global") == 0;
}

void routes_dispatch(struct exchange *exchange)
{
    struct stats *stats = &exchange->sim->stats;
    uint64_t accepted = stats->accepted;
    uint64_t admitted = stats->chat_admitted;
    stats->polls += exchange->event == EVENT_POLL;
    stats->cancels += exchange->event == EVENT_CANCEL;
    const struct route *route = exchange->route;
    if (!route || !is_served_there(exchange)) {
        reply_error(exchange, 404, NULL, "veosim has no route %s %.200s", exchange->method,
                    exchange->path);
    } else if (auth_check(exchange, route->auth)) {
        route->serve(exchange);
    }
    stats->refused += exchange->event == EVENT_SUBMIT && stats->accepted == accepted;
    stats->chat_refused += exchange->event == EVENT_CHAT && stats->chat_admitted == admitted;
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
