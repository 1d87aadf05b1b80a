#include "tests/sim/auth.h"

#include <string.h>
#include <strings.h>

#include "proto/mem.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

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
    const char *header = exchange_header(exchange, "x-goog-api-key");
    const char *query = exchange_argument(exchange, "key");
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

static const char *after_bearer(const char *header)
{
    static const char bearer[] = "Bearer ";
    bool has = header && strncasecmp(header, bearer, sizeof(bearer) - 1) == 0;
    return has ? header + sizeof(bearer) - 1 : NULL;
}

static bool refuse_token(struct exchange *exchange, bool missing)
{
    struct reply_problem problem = {.status = 401};
    if (missing) {
        problem.message = "Request is missing required authentication credential. Expected OAuth "
                          "2 access token, login cookie or other valid authentication credential.";
        problem.reason = "CREDENTIALS_MISSING";
    } else {
        problem.message = "Request had invalid authentication credentials. Expected OAuth 2 access "
                          "token, login cookie or other valid authentication credential.";
        problem.reason = "ACCESS_TOKEN_EXPIRED";
    }
    reply_problem(exchange, SHAPE_GOOGLE, &problem);
    reply_header(&exchange->reply, "WWW-Authenticate",
                 mem_strdup("Bearer realm=\"https://accounts.google.com/\""));
    return false;
}

static bool check_token(struct exchange *exchange)
{
    struct sim *sim = exchange->sim;
    const char *token = after_bearer(exchange_header(exchange, "Authorization"));
    if (!token) {
        sim->stats.bearer_missing++;
        return refuse_token(exchange, true);
    }
    const char *fixed = sim->options.token;
    if (!tokens_is_valid(&sim->tokens, token) && !(fixed && strcmp(fixed, token) == 0)) {
        sim->stats.bearer_wrong++;
        return refuse_token(exchange, false);
    }
    sim->stats.bearer_ok++;
    return true;
}

static bool check_gateway(struct exchange *exchange)
{
    struct stats *stats = &exchange->sim->stats;
    const char *own = exchange_header(exchange, "x-litellm-api-key");
    const char *key = after_bearer(own);
    key = key ? key : own ? own : after_bearer(exchange_header(exchange, "Authorization"));
    if (!key) {
        stats->key_missing++;
        return reply_error(exchange, 401, NULL, "Authentication Error, No api key passed in.");
    }
    if (!is_known_key(exchange, key)) {
        stats->key_wrong++;
        return reply_error(exchange, 401, NULL,
                           "Authentication Error, Invalid proxy server token "
                           "passed.");
    }
    stats->key_header_ok++;
    return true;
}

static bool check_google(struct exchange *exchange)
{
    struct stats *stats = &exchange->sim->stats;
    const char *key = after_bearer(exchange_header(exchange, "Authorization"));
    if (!key) {
        stats->key_missing++;
        return reply_error(exchange, 400, NULL, "Missing or invalid Authorization header.");
    }
    if (!is_known_key(exchange, key)) {
        stats->key_wrong++;
        refuse_key(exchange, false);
        return false;
    }
    stats->key_header_ok++;
    return true;
}

bool auth_check(struct exchange *exchange, enum auth auth)
{
    switch (auth) {
    case AUTH_NONE:
        break;
    case AUTH_KEY:
        return check_key(exchange);
    case AUTH_BEARER:
        return check_token(exchange);
    case AUTH_GATEWAY:
        return check_gateway(exchange);
    case AUTH_GOOGLE:
        return check_google(exchange);
    }
    return true;
}

void auth_count_foreign(struct exchange *exchange)
{
    static const char *const headers[] = {"x-goog-api-key", "Authorization", "Cookie",
                                          "x-litellm-api-key", "Proxy-Authorization"};
    struct stats *stats = &exchange->sim->stats;
    bool seen = exchange_argument(exchange, "key") != NULL;
    for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
        seen = seen || exchange_header(exchange, headers[i]) != NULL;
    }
    stats->key_foreign += seen;
    stats->bearer_foreign += after_bearer(exchange_header(exchange, "Authorization")) != NULL;
}
