/* For the tests of chats: answers to be read, and what is to be found in them. */
#ifndef VEO_TESTS_CHAT_FIXTURE_H
#define VEO_TESTS_CHAT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/agent/chat.h"
#include "proto/mem.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define CALL(id, name, arguments)                                               \
    "{\"id\":" id ",\"type\":\"function\",\"function\":{\"name\":\"" name "\"," \
    "\"arguments\":" arguments "}}"

/* A message that nobody would write anew in the same way. */
#define ODD_MESSAGE                                                                        \
    "{ \"content\"\t: null ,\r\n \"\\u0072ole\": \"assist\\u0061nt\", \"\\ud83c\\udfac\":" \
    "\"\\/\\u0041\u00e4\", \"thought\":1.0e+01, \"tool_calls\" :[ " CALL(                  \
        "\"a\"", "t", "\"{}\"") " ] , \"x\":{ }}"

static inline struct chat_answer answer_of(int status, const char *body)
{
    return (struct chat_answer){
        .status = status,
        .body = body,
        .length = body ? strlen(body) : 0,
        .retry_after_ms = -1,
    };
}

static inline struct chat_reply read_body(int status, const char *body)
{
    struct chat_answer answer = answer_of(status, body);
    struct chat_reply reply;
    chat_read(&answer, &reply);
    return reply;
}

static const char *const kinds[] = {"ANSWER",  "CALLS",     "TRUNCATED", "EMPTY",
                                    "REFUSED", "MALFORMED", "AGAIN",     "FAILED"};

static inline void expect_kind(const struct chat_reply *reply, enum chat_kind kind,
                               const char *what)
{
    if (reply->kind != kind)
        fail_msg("%s, not %s (%s): %s", kinds[reply->kind], kinds[kind],
                 reply->error ? reply->error : "", what);
    bool failed = kind >= CHAT_REFUSED;
    if ((reply->error != NULL) != failed || (failed && reply->message))
        fail_msg("an error or a message out of place: %s", what);
    if ((reply->call_count > 0) != (kind == CHAT_CALLS) || (kind == CHAT_CALLS && !reply->message))
        fail_msg("calls out of place: %s", what);
}

static inline void expect_words(const char *words, const char *expected, const char *what)
{
    if (!words != !expected || (words && strcmp(words, expected) != 0))
        fail_msg("\"%s\", not \"%s\": %s", words ? words : "(none)", expected ? expected : "(none)",
                 what);
}

#endif
