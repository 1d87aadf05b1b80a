#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/command.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define TAG_16      "0123456789abcdef"
#define TAG_64      TAG_16 TAG_16 TAG_16 TAG_16

static void good_lines_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *tag;
        enum verb verb;
        const char *argument;
        bool is_json;
    } rows[] = {
        {"PING", "", VERB_PING, "", false},
        {"ping", "", VERB_PING, "", false},
        {"PiNg  hello  world ", "", VERB_PING, "hello  world", false},
        {" \t PING\t ", "", VERB_PING, "", false},
        {"@7 PING x", "7", VERB_PING, "x", false},
        {"@a,b!~  \tPING", "a,b!~", VERB_PING, "", false},
        {"@" TAG_64 " QUIT", TAG_64, VERB_QUIT, "", false},
        {"GENERATE a dog @ the sea", "", VERB_GENERATE, "a dog @ the sea", false},
        {"GENERATE\t{\"prompt\":\"x\"} ", "", VERB_GENERATE, "{\"prompt\":\"x\"}", true},
        {"GENERATE caf\u00E9", "", VERB_GENERATE, "caf\u00E9", false},
        {"GENERATE [1]", "", VERB_GENERATE, "[1]", false},
        {"LIST {}", "", VERB_LIST, "{}", true},
        {"LIST", "", VERB_LIST, "", false},
        {"GET 01JD {x", "", VERB_GET, "01JD {x", false},
        {"GET HTTP/1.1", "", VERB_GET, "HTTP/1.1", false},
        {"GET / HTTP/1.1 x", "", VERB_GET, "/ HTTP/1.1 x", false},
        {"GENERATE draw HTTP/1.1", "", VERB_GENERATE, "draw HTTP/1.1", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct command command;
        struct error error = {.message = ""};
        assert_int_equal(command_parse(rows[i].line, strlen(rows[i].line), &command, &error), 0);
        assert_string_equal(command.tag, rows[i].tag);
        assert_int_equal(command.verb, rows[i].verb);
        assert_int_equal(command.argument_length, strlen(rows[i].argument));
        assert_memory_equal(command.argument, rows[i].argument, command.argument_length);
        assert_int_equal(command.is_json, rows[i].is_json);
        if (command.argument_length == 0)
            assert_string_equal(command.argument, "");
    }
}

static void bad_lines_say_why(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *tag; /* known all the same */
        enum error_code code;
        const char *message;
    } rows[] = {
        {"", "", ERROR_BAD_REQUEST, "empty line; expected a verb (HELP lists them)"},
        {" \t ", "", ERROR_BAD_REQUEST, "empty line; expected a verb (HELP lists them)"},
        {"@", "", ERROR_BAD_REQUEST, "expected a tag right after '@'"},
        {"@ PING", "", ERROR_BAD_REQUEST, "expected a tag right after '@'"},
        {"@7", "7", ERROR_BAD_REQUEST, "expected a verb after the tag"},
        {"@7  ", "7", ERROR_BAD_REQUEST, "expected a verb after the tag"},
        {"@" TAG_64 "x PING", "", ERROR_BAD_REQUEST,
         "the tag has 65 bytes; at most 64 are allowed"},
        {"@a\xC3\xA9 PING", "", ERROR_BAD_REQUEST, "a tag is printable ASCII; byte 2 is 0xC3"},
        {"@a\rb PING", "", ERROR_BAD_REQUEST, "a tag is printable ASCII; byte 2 is 0x0D"},
        {"GENRATE x", "", ERROR_UNKNOWN_VERB, "unknown verb \"GENRATE\"; did you mean GENERATE?"},
        {"@t stauts 1", "t", ERROR_UNKNOWN_VERB, "unknown verb \"stauts\"; did you mean STATUS?"},
        {"gen x", "", ERROR_UNKNOWN_VERB, "unknown verb \"gen\"; did you mean GENERATE?"},
        {"PNIG", "", ERROR_UNKNOWN_VERB, "unknown verb \"PNIG\"; did you mean PING?"},
        {"CANCELL x", "", ERROR_UNKNOWN_VERB, "unknown verb \"CANCELL\"; did you mean CANCEL?"},
        {"X", "", ERROR_UNKNOWN_VERB, "unknown verb \"X\"; HELP lists the verbs"},
        {"FROBNICATE", "", ERROR_UNKNOWN_VERB, "unknown verb \"FROBNICATE\"; HELP lists the verbs"},
        {"POST it", "", ERROR_UNKNOWN_VERB, "unknown verb \"POST\"; did you mean COST?"},
        {"HEAD it", "", ERROR_UNKNOWN_VERB, "unknown verb \"HEAD\"; HELP lists the verbs"},
        {"@a @b PING", "a", ERROR_UNKNOWN_VERB, "unknown verb \"@b\"; HELP lists the verbs"},
        {TAG_64 " x", "", ERROR_UNKNOWN_VERB,
         "unknown verb \"" TAG_16 TAG_16 "\"; HELP lists the verbs"},
        {"{\"prompt\":\"x\"}", "", ERROR_BAD_REQUEST,
         "the line begins with JSON; expected a verb before it, as in "
         "GENERATE {\"prompt\":\"\u2026\"}"},
        {"GET / HTTP/1.1", "", ERROR_BAD_REQUEST,
         "this is HTTP; veod speaks a line protocol of its own (try HELP)"},
        {"POST /v1/x HTTP/1.0", "", ERROR_BAD_REQUEST,
         "this is HTTP; veod speaks a line protocol of its own (try HELP)"},
        {"PRI * HTTP/2.0", "", ERROR_BAD_REQUEST,
         "this is HTTP; veod speaks a line protocol of its own (try HELP)"},
        {"HELP GENERATE", "", ERROR_INVALID_ARGUMENT, "HELP takes no argument, given: GENERATE"},
        {"@9 quit {}", "9", ERROR_INVALID_ARGUMENT, "QUIT takes no argument, given: {}"},
        {"LIST done", "", ERROR_INVALID_ARGUMENT, "LIST takes a JSON object, given: done"},
        {"BATCH [1]", "", ERROR_INVALID_ARGUMENT, "BATCH takes a JSON object, given: [1]"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct command command;
        struct error error;
        assert_int_equal(command_parse(rows[i].line, strlen(rows[i].line), &command, &error), -1);
        assert_string_equal(error.message, rows[i].message);
        assert_int_equal(error.code, rows[i].code);
        assert_string_equal(command.tag, rows[i].tag);
    }
}

static void every_verb_is_known_in_any_case(void **state)
{
    (void)state;
    for (enum verb verb = VERB_NONE + 1; verb < VERB_END; verb++) {
        const char *name = verb_info(verb)->name;
        char lower[32];
        size_t length = strlen(name);
        for (size_t i = 0; i <= length; i++)
            lower[i] = (char)(name[i] | (name[i] != '\0' ? 0x20 : 0));
        assert_int_equal(verb_from_name(name, length), verb);
        assert_int_equal(verb_from_name(lower, length), verb);
        assert_int_equal(verb_from_name(name, length - 1), VERB_NONE);
        assert_non_null(verb_info(verb)->usage);
        assert_true(strlen(verb_info(verb)->summary) > 0);
    }
    assert_int_equal(verb_from_name("", 0), VERB_NONE);
    assert_null(verb_info(VERB_NONE));
    assert_null(verb_info(VERB_END));
    assert_int_equal(verb_info(VERB_GENERATE)->argument, VERB_PROMPT);
}

static void replies_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *tag;
        enum reply_word word;
        const char *json;
    } rows[] = {
        {"OK {}", "", REPLY_OK, "{}"},
        {"@x1 ERR {\"code\":\"busy\"}", "x1", REPLY_ERR, "{\"code\":\"busy\"}"},
        {"ITEM {\"a\":\"b c\"}", "", REPLY_ITEM, "{\"a\":\"b c\"}"},
        {"EVENT {}", "", REPLY_EVENT, "{}"},
        {"DATA {\"bytes\":1}", "", REPLY_DATA, "{\"bytes\":1}"},
        {"NEWS {}", "", REPLY_UNKNOWN, "{}"},
        {"ok {}", "", REPLY_UNKNOWN, "{}"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct reply reply;
        assert_int_equal(reply_parse(rows[i].line, strlen(rows[i].line), &reply), 0);
        assert_string_equal(reply.tag, rows[i].tag);
        assert_int_equal(reply.word, rows[i].word);
        assert_int_equal(reply.json_length, strlen(rows[i].json));
        assert_memory_equal(reply.json, rows[i].json, reply.json_length);
        if (reply.word != REPLY_UNKNOWN)
            assert_non_null(strstr(rows[i].line, reply_word_name(reply.word)));
    }
    static const char *const bad[] = {"", "OK", "OK ", "@1", "@ OK {}", "{}", "OK [1]", "OK x {}"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct reply reply;
        assert_int_equal(reply_parse(bad[i], strlen(bad[i]), &reply), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_lines_are_taken_apart),
        cmocka_unit_test(bad_lines_say_why),
        cmocka_unit_test(every_verb_is_known_in_any_case),
        cmocka_unit_test(replies_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
