#include "daemon/io/token.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/io/credential.h"
#include "daemon/io/log.h"
#include "daemon/io/token_account.h"
#include "daemon/io/token_command.h"
#include "daemon/io/token_life.h"
#include "proto/json.h"
#include "proto/mem.h"

#define ANSWER_MAX       (16 * 1024) /* bytes */
#define ANSWER_MS        30000
#define COMMAND_LASTS_MS (5 * 60 * 1000LL) /* nobody says how long it is valid */
#define WHY_MAX          320
#define METADATA_HOST    "metadata.google.internal"
#define METADATA_PATH    "/computeMetadata/v1/instance/service-accounts/default/token"

struct token {
    uv_loop_t *loop;
    struct http *http;
    enum token_kind kind;
    char *provider;
    char *header;
    char *value; /* NULL: none yet */
    struct token_account *account;
    char *command_line;
    int64_t connect_ms;

    struct token_life life;
    uv_timer_t again;
    int64_t begun_at;
    struct http_transfer transfer;
    struct token_command *command;
    char why[WHY_MAX];

    void (*changed)(void *);
    void *arg;
};

static int64_t now_ms(const struct token *token)
{
    return (int64_t)uv_now(token->loop);
}

/* ---- how it went ---- */

static void on_again(uv_timer_t *timer);

static void tell(struct token *token)
{
    if (token->changed)
        token->changed(token->arg);
}

static void failed(struct token *token, const char *why)
{
    bool is_news = token->life.failures == 0 || strcmp(token->why, why) != 0;
    int64_t now = now_ms(token);
    snprintf(token->why, sizeof(token->why), "%s", why);
    token_life_failed(&token->life, now, (double)(uv_hrtime() % 1000) / 1000.0);
    if (is_news)
        log_warning("token", "%s: no access token: %s", token->provider, why);
    uv_timer_start(&token->again, on_again, (uint64_t)(token->life.again_at - now), 0);
    tell(token);
}

static void got(struct token *token, const char *text, int64_t lasts_ms)
{
    if (!credential_is_word(text)) {
        failed(token, "what came is no token: expected printable ASCII");
        return;
    }
    if (token->life.failures > 0)
        log_info("token", "%s: there is an access token again", token->provider);
    token_life_got(&token->life, token->begun_at, lasts_ms);
    credential_free(token->value);
    token->value = mem_format("Bearer %s", text);
    token->why[0] = '\0';
    tell(token);
}

/* ---- from an address ---- */

static void read_answer(struct token *token, struct json_value root)
{
    int64_t seconds = COMMAND_LASTS_MS / 1000;
    char *text = json_strdup(json_get(root, "access_token"), NULL);
    (void)json_int(json_get(root, "expires_in"), 1, 30LL * 24 * 3600, &seconds);
    if (text)
        got(token, text, seconds * 1000);
    else
        failed(token, "the answer has no \"access_token\"");
    credential_free(text);
}

/* {"error":"invalid_grant","error_description":"Invalid JWT Signature."} */
static void refused(struct token *token, int status, struct json_value root)
{
    char why[WHY_MAX];
    char *code = json_strdup(json_get(root, "error"), NULL);
    char *text = json_strdup(json_get(root, "error_description"), NULL);
    snprintf(why, sizeof(why), "the token's address answered with status %d%s%.60s%s%.200s", status,
             code ? ": " : "", code ? code : "", text ? ": " : "", text ? text : "");
    for (char *c = why; *c; c++)
        if (iscntrl((unsigned char)*c))
            *c = ' ';
    free(code);
    free(text);
    failed(token, why);
}

static void on_done(struct http_transfer *transfer, const struct http_reply *reply)
{
    struct token *token = (struct token *)((char *)transfer - offsetof(struct token, transfer));
    struct error ignored;
    if (reply->end != HTTP_ANSWERED) {
        failed(token, reply->reason);
        return;
    }
    if (token->kind == TOKEN_METADATA && reply->status == 200 &&
        (!reply->wanted || strcasecmp(reply->wanted, "Google") != 0)) {
        failed(token, "what answered is not Google's metadata server");
        return;
    }
    struct json_limits limits = {.depth = 8, .tokens = 200};
    struct json *doc = json_parse(reply->body, reply->body_length, limits, &ignored);
    if (reply->status != 200)
        refused(token, reply->status, doc ? json_root(doc) : (struct json_value){0});
    else if (!doc)
        failed(token, "the answer is no JSON object");
    else
        read_answer(token, json_root(doc));
    json_free(doc);
}

static void ask_account(const struct token *token, struct http_request *request)
{
    request->method = HTTP_POST;
    request->url = mem_strdup(token_account_uri(token->account));
    request->body = token_account_form(token->account, (int64_t)time(NULL));
    request->body_length = request->body ? strlen(request->body) : 0;
    request->content_type = mem_strdup("application/x-www-form-urlencoded");
}

static void ask_metadata(struct http_request *request)
{
    const char *host = getenv("GCE_METADATA_HOST");
    request->url = mem_format("http://%s" METADATA_PATH, host && host[0] ? host : METADATA_HOST);
    request->header = "Metadata-Flavor: Google";
    request->wanted = "Metadata-Flavor";
    request->no_proxy = true;
}

static bool prepare(struct http_transfer *transfer, struct http_request *request)
{
    const struct token *token =
        (struct token *)((char *)transfer - offsetof(struct token, transfer));
    *request = (struct http_request){
        .is_secret = true,
        .allow_private = true,
        .connect_ms = token->connect_ms,
        .stall_ms = ANSWER_MS,
        .total_ms = ANSWER_MS,
        .max_body = ANSWER_MAX,
    };
    if (token->kind == TOKEN_METADATA)
        ask_metadata(request);
    else
        ask_account(token, request);
    return true;
}

/* ---- from a command ---- */

static void on_said(void *arg, const char *text, const char *why)
{
    struct token *token = arg;
    token->command = NULL;
    if (text)
        got(token, text, COMMAND_LASTS_MS);
    else
        failed(token, why);
}

/* ---- the whole ---- */

static void fetch(struct token *token)
{
    if (token->kind == TOKEN_KEY || !token_life_wants(&token->life, now_ms(token)))
        return;
    uv_timer_stop(&token->again);
    token_life_begin(&token->life);
    token->begun_at = now_ms(token);
    if (token->kind == TOKEN_COMMAND)
        token->command =
            token_command_run(token->loop, token->command_line, TOKEN_COMMAND_MS, on_said, token);
    else
        http_start(token->http, &token->transfer);
}

static void on_again(uv_timer_t *timer)
{
    fetch(timer->data);
}

bool token_is_there(const struct token *token)
{
    return token->kind == TOKEN_KEY || token_life_usable(&token->life, now_ms(token));
}

const char *token_value(struct token *token)
{
    fetch(token);
    return token_is_there(token) ? token->value : NULL;
}

const char *token_header(const struct token *token)
{
    return token->header;
}

unsigned token_generation(const struct token *token)
{
    return token->life.generation;
}

const char *token_why(const struct token *token)
{
    return token->why[0] ? token->why : "it is being fetched";
}

bool token_judge(struct token *token, unsigned generation, int status)
{
    if (token->kind == TOKEN_KEY)
        return false;
    bool again = token_life_judge(&token->life, generation, status, now_ms(token));
    if (again)
        fetch(token);
    return again;
}

void token_listen(struct token *token, void (*changed)(void *arg), void *arg)
{
    token->changed = changed;
    token->arg = arg;
}

static int parse_account(const struct token_config *config, struct token_account **ret,
                         struct error *error)
{
    struct error cause;
    *ret = NULL;
    if (config->kind != TOKEN_SERVICE_ACCOUNT)
        return 0;
    *ret = token_account_parse(config->secret, &cause);
    return *ret ? 0 : error_set(error, cause.code, NULL, "the credential %s", cause.message);
}

int token_check(const struct token_config *config, struct error *error)
{
    struct token_account *account;
    int status = parse_account(config, &account, error);
    token_account_free(account);
    return status;
}

static void keep_key(struct token *token, const struct token_config *config)
{
    if (config->header)
        token->value = mem_strdup(config->secret);
    else
        token->value = mem_format("Bearer %s", config->secret);
}

struct token *token_new(uv_loop_t *loop, struct http *http, const struct token_config *config,
                        struct error *error)
{
    struct token_account *account;
    if (parse_account(config, &account, error) < 0)
        return NULL;
    struct token *token = mem_alloc(sizeof(*token));
    bool has_header = config->kind == TOKEN_KEY && config->header;
    *token = (struct token){
        .loop = loop,
        .http = http,
        .kind = config->kind,
        .provider = mem_strdup(config->provider),
        .header = mem_strdup(has_header ? config->header : "Authorization"),
        .account = account,
        .command_line = mem_strdup(config->command),
        .connect_ms = config->connect_ms,
        .transfer = {.lane = HTTP_CALLS, .urgent = true, .prepare = prepare, .done = on_done},
    };
    if (config->kind == TOKEN_KEY)
        keep_key(token, config);
    uv_timer_init(loop, &token->again);
    token->again.data = token;
    return token;
}

static void on_closed(uv_handle_t *handle)
{
    struct token *token = handle->data;
    credential_free(token->value);
    token_account_free(token->account);
    free(token->command_line);
    free(token->header);
    free(token->provider);
    free(token);
}

void token_close(struct token *token)
{
    if (!token)
        return;
    http_cancel(token->http, &token->transfer);
    token_command_stop(token->command);
    uv_close((uv_handle_t *)&token->again, on_closed);
}
