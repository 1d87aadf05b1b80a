#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/mem.h"
#include "tests/sim/form.h"
#include "tests/sim/jwt.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

#define GRANT_TYPE    "urn:ietf:params:oauth:grant-type:jwt-bearer"
#define SCOPE         "https://www.googleapis.com/auth/cloud-platform"
#define SECONDS_MAX   3600
#define SKEW_SECONDS  300
#define FLAVOR_HEADER "Metadata-Flavor"

static bool refuse(struct exchange *exchange, const char *code, const char *message)
{
    return reply_error(exchange, 400, code, "%s", message);
}

static const char *after_scheme(const char *url)
{
    const char *end = strstr(url, "://");
    return end ? end + 3 : url;
}

/* Whether it is the URL that this request was sent to, seen from whatever stands before us. */
static bool is_audience(const struct exchange *exchange, const char *audience)
{
    const char *host = exchange_header(exchange, "Host");
    char *own = mem_format("%s%s", host ? host : "", exchange->path);
    bool good = audience && strcmp(after_scheme(audience), own) == 0;
    free(own);
    return good;
}

static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = text; at && (at = strstr(at, word)); at += length) {
        if ((at == text || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

static bool check_claims(struct exchange *exchange, const struct jwt_claims *claims)
{
    int64_t now = unix_now_ms() / 1000;
    if (!claims->issuer || !*claims->issuer) {
        return refuse(exchange, "invalid_grant", "Invalid grant: account not found");
    }
    if (!is_audience(exchange, claims->audience)) {
        return refuse(exchange, "invalid_grant",
                      "Invalid JWT: Failed audience check. The right audience is the URL of this "
                      "endpoint.");
    }
    if (claims->issued_at == 0 || claims->expires_at <= claims->issued_at ||
        claims->expires_at - claims->issued_at > SECONDS_MAX ||
        claims->issued_at > now + SKEW_SECONDS || claims->expires_at < now - SKEW_SECONDS) {
        return refuse(exchange, "invalid_grant",
                      "Invalid JWT: Token must be a short-lived token (60 minutes) and in a "
                      "reasonable timeframe. Check your iat and exp values in the JWT claim.");
    }
    return has_word(claims->scope, SCOPE) ||
           refuse(exchange, "invalid_scope", "Invalid OAuth scope or ID token audience provided.");
}

static bool check_assertion(struct exchange *exchange, const char *assertion)
{
    struct jwt_claims claims;
    bool good = false;
    switch (jwt_read(assertion, exchange->sim->tokens.key, &claims)) {
    case JWT_GOOD:
        good = check_claims(exchange, &claims);
        break;
    case JWT_MALFORMED:
        refuse(exchange, "invalid_request", "Bad Request: the assertion is no JWT.");
        break;
    case JWT_WRONG_ALGORITHM:
        refuse(exchange, "invalid_grant", "Invalid JWT: the algorithm must be RS256.");
        break;
    case JWT_WRONG_SIGNATURE:
        refuse(exchange, "invalid_grant", "Invalid JWT Signature.");
        break;
    }
    jwt_claims_free(&claims);
    return good;
}

static bool check_request(struct exchange *exchange)
{
    struct form *form = exchange->form;
    if (form) {
        form_end(form);
    }
    if (!form || form->failed) {
        return refuse(exchange, "invalid_request",
                      "The body must be application/x-www-form-urlencoded.");
    }
    const char *type = form_text(form, "grant_type");
    const char *assertion = form_text(form, "assertion");
    if (!type || strcmp(type, GRANT_TYPE) != 0) {
        return reply_error(exchange, 400, "unsupported_grant_type", "Invalid grant_type: %s",
                           type ? type : "");
    }
    return assertion ? check_assertion(exchange, assertion)
                     : refuse(exchange, "invalid_request", "Missing required parameter: assertion");
}

static void answer(struct exchange *exchange)
{
    struct sim *sim = exchange->sim;
    uint64_t seconds = sim->options.token_seconds;
    struct buf json;
    struct jsonw w;
    buf_init(&json, REPLY_BYTES_MAX);
    jsonw_init(&w, &json);
    jsonw_object(&w);
    jsonw_member_string(&w, "access_token", tokens_issue(&sim->tokens, seconds));
    jsonw_member_uint(&w, "expires_in", seconds);
    jsonw_member_string(&w, "token_type", "Bearer");
    jsonw_object_end(&w);
    reply_json(&exchange->reply, 200, &json);
    sim->stats.tokens_issued++;
}

void token_serve_exchange(struct exchange *exchange)
{
    if (check_request(exchange) && !rules_intercept(exchange, NULL)) {
        answer(exchange);
    }
}

void token_serve_metadata(struct exchange *exchange)
{
    const char *flavor = exchange_header(exchange, FLAVOR_HEADER);
    if (!flavor || strcasecmp(flavor, "Google") != 0) {
        reply_problem(exchange, SHAPE_HTML,
                      &(struct reply_problem){.status = 403,
                                              .message = "Missing Metadata-Flavor:Google header."});
    } else if (!rules_intercept(exchange, NULL)) {
        answer(exchange);
    }
    reply_header(&exchange->reply, FLAVOR_HEADER, mem_strdup("Google"));
}

void token_serve_revoke(struct exchange *exchange)
{
    tokens_revoke(&exchange->sim->tokens);
    reply_text(&exchange->reply, 200, "application/json; charset=UTF-8", "{}\n");
}
