/* What holds for every dialect, whatever bytes answer it. */
#ifndef VEO_TESTS_FUZZ_DIALECT_H
#define VEO_TESTS_FUZZ_DIALECT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/provider/dialect.h"
#include "daemon/provider/provider.h"
#include "proto/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct provider provider = {.name = "p",
                                         .base_url = "http://h",
                                         .api_version = "v1",
                                         .project = NULL,
                                         .storage_url = "http://s"};

static inline void require(bool holds)
{
    if (!holds)
        abort();
}

static inline void check_line(const char *text, size_t max)
{
    size_t length = strlen(text);
    require(length <= max && utf8_valid_prefix(text, length) == length);
    for (const char *c = text; *c; c++)
        require((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static inline void check_results(const struct outcome *outcome)
{
    require((outcome->kind == OUTCOME_RESULT) == (outcome->result_count > 0));
    require(outcome->result_count <= OUTCOME_RESULTS_MAX);
    for (size_t i = 0; i < outcome->result_count; i++) {
        const struct outcome_result *result = &outcome->results[i];
        require((result->uri != NULL) == (result->inline_index < 0));
        bool is_object = result->uri && strncmp(result->uri, "gs://", 5) == 0;
        for (const char *c = result->uri; c && *c; c++)
            require(is_object ? (unsigned char)*c >= 0x20 && *c != 0x7f : *c > 0x20 && *c < 0x7f);
        if (result->mime_type)
            check_line(result->mime_type, 128);
    }
}

static inline void check(const struct outcome *outcome, bool submission)
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

/* What was accepted as a name or a result makes sound addresses. */
static inline void check_addresses(const struct dialect *dialect, const struct outcome *outcome,
                                   void (*check_poll)(const char *url))
{
    struct wire_request wire;
    wire_request_init(&wire);
    if (outcome->operation) {
        dialect->poll(&provider, outcome->operation, &wire);
        require(!wire.url.failed && !wire.body.failed);
        check_poll(buf_text(&wire.url));
    }
    for (size_t i = 0; i < outcome->result_count; i++)
        if (dialect->download && outcome->results[i].uri) {
            dialect->download(&provider, outcome->results[i].uri, &wire);
            require(!wire.url.failed && wire.url.length > 0 && wire.body.length == 0);
        }
    wire_request_free(&wire);
}

/* The first byte chooses the status. `asked` is the operation of the poll. */
static inline void fuzz_dialect(const struct dialect *dialect, const char *asked,
                                void (*check_poll)(const char *url), const uint8_t *data,
                                size_t size)
{
    static const int statuses[] = {200, 200, 200, 200, 302, 400, 402, 404, 429, 500, 502, 503};
    if (size == 0)
        return;
    struct wire_reply reply = {.status = statuses[data[0] % 12],
                               .body = (const char *)data + 1,
                               .length = size - 1,
                               .retry_after_ms = -1};
    struct outcome outcome;
    outcome_init(&outcome);
    dialect->submitted(&provider, &reply, &outcome);
    check(&outcome, true);
    check_addresses(dialect, &outcome, check_poll);
    outcome_free(&outcome);
    reply.operation = asked;
    dialect->polled(&provider, &reply, &outcome);
    check(&outcome, false);
    require(!outcome.operation);
    check_addresses(dialect, &outcome, check_poll);
    outcome_free(&outcome);
    if (dialect->filed)
        require(dialect->filed(&reply) <= FILE_UNKNOWN);
    char *words = provider_excerpt(&reply);
    check_line(words, OUTCOME_MESSAGE_MAX);
    free(words);
}

#endif
