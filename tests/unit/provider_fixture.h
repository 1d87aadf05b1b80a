/* For the tests of dialects: requests with inputs, and bodies with their files' places filled. */
#ifndef VEO_TESTS_PROVIDER_FIXTURE_H
#define VEO_TESTS_PROVIDER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/provider/provider.h"
#include "proto/mem.h"

#define STRING(literal) ((char *)(uintptr_t)(literal))

static inline struct request request_of(const char *prompt)
{
    return (struct request){.prompt = STRING(prompt),
                            .model = STRING("some-model"),
                            .seed = -1,
                            .generate_audio = -1,
                            .enhance_prompt = -1};
}

/* Blobs are named by one letter here; a body shows a file as [base64 of a] or [bytes of a]. */
static inline struct input blob_of(const char *letter, const char *mime_type)
{
    return (struct input){.blob = STRING(letter), .mime_type = STRING(mime_type), .bytes = 3};
}

static inline char *filled_body(struct wire_request *wire)
{
    struct buf out;
    size_t from = 0;
    buf_init(&out, 1024 * 1024);
    for (size_t i = 0; i < wire->part_count; i++) {
        const struct wire_part *part = &wire->parts[i];
        assert_true(part->at >= from && part->at <= wire->body.length);
        buf_add(&out, wire->body.data + from, part->at - from);
        buf_addf(&out, "[%s of %s]", part->base64 ? "base64" : "bytes",
                 part->input->blob ? part->input->blob : part->input->file);
        from = part->at;
    }
    buf_add(&out, wire->body.data + from, wire->body.length - from);
    return buf_steal(&out);
}

static inline void assert_submission(const struct provider *provider, const struct request *request,
                                     const char *url, const char *body)
{
    struct wire_request wire;
    struct error error = {0};
    wire_request_init(&wire);
    if (provider->dialect->check(provider, request, &error) < 0)
        fail_msg("%s: %s", error.field, error.message);
    provider->dialect->submit(provider, request, &wire);
    char *filled = filled_body(&wire);
    assert_true(wire.post);
    assert_string_equal(buf_text(&wire.url), url);
    assert_string_equal(filled, body);
    free(filled);
    wire_request_free(&wire);
}

static inline void assert_refusal(const struct provider *provider, const struct request *request,
                                  const char *field, const char *words)
{
    struct error error = {0};
    if (provider->dialect->check(provider, request, &error) == 0)
        fail_msg("%s is taken", field);
    assert_int_equal(error.code, ERROR_INVALID_ARGUMENT);
    assert_string_equal(error.field, field);
    if (!strstr(error.message, words))
        fail_msg("\"%s\" lacks \"%s\"", error.message, words);
}

/* What a result's uri is loaded from. */
static inline void assert_download(const struct provider *provider, const char *uri,
                                   const char *url)
{
    struct wire_request wire;
    wire_request_init(&wire);
    provider->dialect->download(provider, uri, &wire);
    assert_false(wire.post);
    assert_string_equal(buf_text(&wire.url), url);
    wire_request_free(&wire);
}

/* One answer and what it means. */
struct row {
    const char *body;
    enum outcome_kind kind;
    const char *code;    /* NULL: none */
    const char *message; /* a part of it */
    const char *uri;     /* of the first result */
    int inline_index;    /* of the first result; -1: none */
    bool retryable;
};

typedef void read_fn(const struct provider *provider, const struct wire_reply *reply,
                     struct outcome *ret);

static inline bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* `asked`: the operation that was polled; NULL for a submission. */
static inline void assert_row(const struct provider *provider, int status, const struct row *row,
                              const char *asked, const char *operation)
{
    struct wire_reply reply = {.status = status,
                               .body = row->body,
                               .length = strlen(row->body),
                               .retry_after_ms = -1,
                               .operation = asked};
    struct outcome outcome;
    outcome_init(&outcome);
    read_fn *read = asked ? provider->dialect->polled : provider->dialect->submitted;
    read(provider, &reply, &outcome);
    const struct outcome_result *first = outcome.result_count ? outcome.results : NULL;
    if (outcome.kind != row->kind || !same(outcome.code, row->code) ||
        (row->message && (!outcome.message || !strstr(outcome.message, row->message))) ||
        !same(first ? first->uri : NULL, row->uri) ||
        (first ? first->inline_index : -1) != row->inline_index ||
        outcome.retryable != row->retryable || !same(outcome.operation, operation))
        fail_msg("%s: kind %d, code %s, message %s, operation %s, uri %s, retryable %d", row->body,
                 outcome.kind, outcome.code, outcome.message, outcome.operation,
                 first ? first->uri : NULL, outcome.retryable);
    outcome_free(&outcome);
}

#endif
