/* Arbitrary bytes as the predict dialect's answers. The first byte chooses the status. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/provider/dialect.h"
#include "daemon/provider/provider.h"
#include "proto/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_line(const char *text, size_t max)
{
    size_t length = strlen(text);
    require(length <= max && utf8_valid_prefix(text, length) == length);
    for (const char *c = text; *c; c++)
        require((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void check_results(const struct outcome *outcome)
{
    require((outcome->kind == OUTCOME_RESULT) == (outcome->result_count > 0));
    require(outcome->result_count <= OUTCOME_RESULTS_MAX);
    for (size_t i = 0; i < outcome->result_count; i++) {
        const struct outcome_result *result = &outcome->results[i];
        require((result->uri != NULL) == (result->inline_index < 0));
        for (const char *c = result->uri; c && *c; c++)
            require(*c > 0x20 && *c < 0x7f);
        if (result->mime_type)
            check_line(result->mime_type, 128);
    }
}

static void check(const struct outcome *outcome, bool submission)
{
    bool wordless = outcome->kind == OUTCOME_ACCEPTED || outcome->kind == OUTCOME_PENDING ||
                    outcome->kind == OUTCOME_RESULT;
    require(outcome->kind <= OUTCOME_UNREADABLE);
    require(wordless || (outcome->message && *outcome->message && outcome->code));
    require(outcome->retry_after_ms >= -1);
    if (outcome->message)
        check_line(outcome->message, OUTCOME_MESSAGE_MAX);
    if (outcome->code)
        require(strspn(outcome->code, "abcdefghijklmnopqrstuvwxyz0123456789-") ==
                strlen(outcome->code));
    check_results(outcome);
    if (submission)
        require(outcome->kind != OUTCOME_PENDING &&
                (outcome->kind != OUTCOME_ACCEPTED || outcome->operation));
    else
        require(outcome->kind == OUTCOME_PENDING || outcome->kind == OUTCOME_RESULT ||
                outcome->kind == OUTCOME_FILTERED || outcome->kind == OUTCOME_FAILED ||
                outcome->kind == OUTCOME_UNREADABLE);
}

/* Whatever name was accepted makes an address of exactly four more segments. */
static void check_poll(const char *operation)
{
    static const struct provider provider = {.base_url = "http://h", .api_version = "v1"};
    struct wire_request wire;
    wire_request_init(&wire);
    dialect_predict.poll(&provider, operation, &wire);
    const char *path = buf_text(&wire.url) + strlen("http://h/v1/");
    unsigned slashes = 0;
    for (const char *c = path; *c; c++)
        slashes += *c == '/';
    require(!wire.url.failed && slashes == 3 && !strpbrk(path, "?#\\ %") && !strstr(path, "/../") &&
            !strstr(path, "//"));
    wire_request_free(&wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 200, 200, 200, 302, 400, 402, 404, 429, 500, 502, 503};
    if (size == 0)
        return 0;
    struct wire_reply reply = {.status = statuses[data[0] % 12],
                               .body = (const char *)data + 1,
                               .length = size - 1,
                               .retry_after_ms = -1};
    struct outcome outcome;
    outcome_init(&outcome);
    dialect_predict.submitted(&provider, &reply, &outcome);
    check(&outcome, true);
    if (outcome.operation)
        check_poll(outcome.operation);
    outcome_free(&outcome);
    dialect_predict.polled(&provider, &reply, &outcome);
    check(&outcome, false);
    outcome_free(&outcome);
    return 0;
}
