/* Errors. Google's shapes, and Google's inside of LiteLLM's, are read where the video providers'
 * are; here are those of other servers, and what an error means for a question to a model: unlike a
 * video, it may be asked again whatever became of it the first time. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/agent/chat_internal.h"
#include "daemon/provider/provider.h"
#include "proto/mem.h"

#define TITLE_WITHIN 4096 /* bytes of a page */

/* {"error":"…"}, {"message":"…"}; FastAPI's {"detail":"…"}, {"detail":{"error":"…"}} and
 * {"detail":[{"msg":"…"}]}. */
static char *find_message(struct json_value root)
{
    static const char *const paths[] = {
        "error",         "error.message",        "message",        "detail",
        "detail.error",  "detail.error.message", "detail.message", "detail.0.msg",
        "error_message", "description",
    };
    char *message = NULL;
    if (json_type(root) == JSON_ARRAY)
        root = json_at(root, 0);
    for (size_t i = 0; !message && i < sizeof(paths) / sizeof(paths[0]); i++) {
        message = json_strdup(json_path(root, paths[i]), NULL);
        if (message && !*message) {
            free(message);
            message = NULL;
        }
    }
    return message;
}

/* What a page calls itself, in fresh memory; NULL if it is no page or doesn't. */
static char *find_title(const char *body, size_t length)
{
    size_t at = 0;
    while (at < length && isspace((unsigned char)body[at]))
        at++;
    if (at == length || body[at] != '<')
        return NULL;
    char *page = mem_strndup(body, length < TITLE_WITHIN ? length : TITLE_WITHIN);
    char *title = strcasestr(page, "<title");
    title = title ? strchr(title, '>') : NULL;
    char *end = title ? strchr(title, '<') : NULL;
    char *ret = end ? mem_strndup(title + 1, (size_t)(end - title) - 1) : NULL;
    free(page);
    return ret;
}

static char *find_words(const char *body, size_t length)
{
    struct json *doc = json_parse(body, length, (struct json_limits){0}, NULL);
    char *words = doc ? find_message(json_root(doc)) : find_title(body, length);
    json_free(doc);
    return words;
}

char *chat_error_words(const struct chat_answer *answer)
{
    const char *body = answer->body ? answer->body : "";
    size_t length = answer->body ? answer->length : 0;
    char *found = find_words(body, length);
    char *words = found ? one_line(found, strlen(found), CHAT_WORDS_MAX)
                        : one_line(body, length, CHAT_WORDS_MAX);
    free(found);
    return words;
}

/* Google's words, also from within a proxy's. */
static char *provider_words(const struct outcome *outcome, const struct chat_answer *answer)
{
    return outcome->message && *outcome->message
               ? one_line(outcome->message, strlen(outcome->message), CHAT_WORDS_MAX)
               : chat_error_words(answer);
}

/* A quota that a person must raise, or a whole day that must pass. A proxy may have made Google's
 * answer into a text that is no JSON any more. */
static bool is_used_up(const struct outcome *outcome, const struct chat_answer *answer)
{
    static const char per_day[] = "PerDay";
    const struct retry_facts facts = {
        .end = RETRY_ANSWERED,
        .status = outcome->status,
        .code = outcome->code,
    };
    return outcome->status == 429 &&
           (retry_rule(&facts)->until_day ||
            (outcome->code && strcmp(outcome->code, "insufficient-quota") == 0) ||
            memmem(answer->body ? answer->body : "", answer->body ? answer->length : 0, per_day,
                   sizeof(per_day) - 1));
}

static bool is_passing(const struct outcome *outcome, const struct chat_answer *answer)
{
    int status = outcome->status;
    return (status == 408 || status == 409 || status == 429 || (status >= 500 && status <= 599)) &&
           !is_used_up(outcome, answer);
}

static void read_status(const struct chat_answer *answer, struct chat_reply *ret)
{
    const struct wire_reply reply = {
        .status = answer->status,
        .body = answer->body ? answer->body : "",
        .length = answer->body ? answer->length : 0,
        .retry_after_ms = answer->retry_after_ms,
    };
    struct chat_answer own = *answer;
    struct outcome outcome;
    outcome_init(&outcome);
    outcome.plain = true;
    provider_error(&reply, &outcome);
    own.status = outcome.status;
    char *words = provider_words(&outcome, answer);
    if (is_passing(&outcome, answer)) {
        chat_set_error(ret, CHAT_AGAIN, &own, "%s", words);
        ret->wait_ms = outcome.retry_after_ms > answer->retry_after_ms ? outcome.retry_after_ms
                                                                       : answer->retry_after_ms;
        if (ret->wait_ms < 0)
            ret->wait_ms = 0;
    } else
        chat_set_error(ret, CHAT_FAILED, &own, "%s", words);
    free(words);
    outcome_free(&outcome);
}

void chat_read_error(const struct chat_answer *answer, struct chat_reply *ret)
{
    if (answer->status == 0)
        chat_set_error(ret, CHAT_AGAIN, answer, "%s",
                       answer->reason ? answer->reason : "no answer");
    else if (answer->status >= 300 && answer->status <= 399)
        chat_set_error(ret, CHAT_FAILED, answer,
                       "it redirects, which is not followed; base_url should name that address");
    else
        read_status(answer, ret);
}
