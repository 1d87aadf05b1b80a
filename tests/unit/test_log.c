#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/io/log.h"
#include "proto/buf.h"
#include "systemd/sd.h"

/* The journal is played here, so that none of the machine's is written to. */
static bool is_journal;
static struct buf journal;

bool sd_stderr_is_journal(void)
{
    return is_journal;
}

void sd_journal_write(const struct iovec *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_add(&journal, fields[i].iov_base, fields[i].iov_len);
        buf_add_byte(&journal, '|');
    }
    buf_add_byte(&journal, '\n');
}

/* stderr goes to a file of ours meanwhile. */
struct capture {
    FILE *file;
    int stderr_before;
    char text[8192];
};

static struct capture begin(enum log_level most_verbose, bool to_journal)
{
    struct capture c = {.file = tmpfile(), .stderr_before = dup(STDERR_FILENO)};
    assert_non_null(c.file);
    buf_init(&journal, 100000);
    is_journal = to_journal;
    log_open(most_verbose);
    fflush(stderr);
    dup2(fileno(c.file), STDERR_FILENO);
    return c;
}

static const char *end(struct capture *c)
{
    fflush(stderr);
    dup2(c->stderr_before, STDERR_FILENO);
    close(c->stderr_before);
    rewind(c->file);
    size_t length = fread(c->text, 1, sizeof(c->text) - 1, c->file);
    c->text[length] = '\0';
    fclose(c->file);
    return c->text;
}

static void test_only_what_is_wanted(void **state)
{
    static const enum log_level levels[] = {LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO,
                                            LOG_LEVEL_DEBUG};
    static const char all[] = "[veod-a] e\n[veod-b] w\n[veod-c] i\n[veod-d] d\n";
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct capture c = begin(levels[i], false);
        log_error("a", "e");
        log_warning("b", "w");
        log_info("c", "i");
        log_debug("d", "d");
        char expected[100];
        snprintf(expected, sizeof(expected), "%.*s", (i + 1) * 11, all);
        assert_string_equal(end(&c), expected);
        assert_int_equal(journal.length, 0);
    }
}

static void test_a_message_is_one_line(void **state)
{
    (void)state;
    struct capture c = begin(LOG_LEVEL_INFO, false);
    log_info("http", "%s:%d \xc3\xa4", "one\ntwo\r\x1b[2J\x7f\t", 3);
    assert_string_equal(end(&c), "[veod-http] one two  [2J  :3 \xc3\xa4\n");
}

static void test_a_long_message_is_cut(void **state)
{
    (void)state;
    static char text[5000];
    memset(text, 'x', sizeof(text) - 1);
    struct capture c = begin(LOG_LEVEL_INFO, false);
    log_info("p", "%s", text);
    log_info("p", "next");
    const char *got = end(&c);
    assert_in_range(strlen(got), 1000, 1200);
    assert_non_null(strstr(got, "xxx\n[veod-p] next\n"));
}

static void test_fields_are_for_the_journal(void **state)
{
    const struct log_field fields[] = {
        {"VEO_JOB", "01K"}, {"VEO_OPERATION", NULL}, {"VEO_STATE", "a=b\nc"}};
    (void)state;
    struct capture c = begin(LOG_LEVEL_INFO, false);
    log_fields(LOG_LEVEL_INFO, "job", fields, 3, "moved %d", 1);
    assert_string_equal(end(&c), "[veod-job] moved 1\n");

    c = begin(LOG_LEVEL_INFO, true);
    log_fields(LOG_LEVEL_WARNING, "job", fields, 3, "moved\n%d", 2);
    log_fields(LOG_LEVEL_DEBUG, "job", fields, 3, "unwanted");
    log_info("main", "plain");
    assert_string_equal(end(&c), "");
    assert_string_equal(buf_text(&journal),
                        "MESSAGE=moved 2|PRIORITY=4|SYSLOG_IDENTIFIER=veod|VEO_PART=job|"
                        "VEO_JOB=01K|VEO_STATE=a=b\nc|\n"
                        "MESSAGE=plain|PRIORITY=6|SYSLOG_IDENTIFIER=veod|VEO_PART=main|\n");
    buf_free(&journal);
}

static void test_no_more_fields_than_there_is_room_for(void **state)
{
    static char value[3000];
    struct log_field fields[LOG_FIELDS_MAX + 3];
    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    for (int i = 0; i < LOG_FIELDS_MAX + 3; i++)
        fields[i] = (struct log_field){i < LOG_FIELDS_MAX ? "IN" : "OUT", value};
    struct capture c = begin(LOG_LEVEL_INFO, true);
    log_fields(LOG_LEVEL_INFO, "p", fields, LOG_FIELDS_MAX + 3, "%s", value);
    assert_string_equal(end(&c), "");
    const char *text = buf_text(&journal);
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, "IN=v")); at++)
        count++;
    assert_int_equal(count, LOG_FIELDS_MAX);
    assert_null(strstr(text, "OUT"));
    buf_free(&journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_is_wanted),
        cmocka_unit_test(test_a_message_is_one_line),
        cmocka_unit_test(test_a_long_message_is_cut),
        cmocka_unit_test(test_fields_are_for_the_journal),
        cmocka_unit_test(test_no_more_fields_than_there_is_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
