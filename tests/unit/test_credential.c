#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/io/credential.h"
#include "proto/mem.h"

#define NAME     "test-key.1"
#define VARIABLE "TEST_KEY.1"
#define SECRET   "AIza-Sekrit_0123"

/* Two folders: one that plays $CREDENTIALS_DIRECTORY, and one for credential_file. */
struct places {
    char directory[64];
    char *given; /* the credential in the directory */
    char *file;
};

static int set_up(void **state)
{
    struct places *p = mem_alloc(sizeof(*p));
    *state = p;
    strcpy(p->directory, "/tmp/veod-credential-XXXXXX");
    if (!mkdtemp(p->directory))
        return -1;
    p->given = mem_format("%s/" NAME, p->directory);
    p->file = mem_format("%s/file", p->directory);
    unsetenv("CREDENTIALS_DIRECTORY");
    unsetenv(VARIABLE);
    alarm(60); /* a FIFO must not be waited for */
    return 0;
}

static int tear_down(void **state)
{
    struct places *p = *state;
    if (unlink(p->given) < 0)
        rmdir(p->given);
    unlink(p->file);
    int status = rmdir(p->directory);
    free(p->given);
    free(p->file);
    free(p);
    alarm(0);
    return status;
}

static void write_secret(const char *path, const char *bytes, size_t length, mode_t mode)
{
    unlink(path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void write_text(const char *path, const char *text)
{
    write_secret(path, text, strlen(text), 0600);
}

static void assert_loads(const char *file, const char *expected)
{
    struct error error;
    char *secret = credential_load(NAME, file, &error);
    if (!secret)
        fail_msg("%s", error.message);
    assert_string_equal(secret, expected);
    assert_int_equal(error.code, ERROR_NONE);
    credential_free(secret);
}

/* Whatever is wrong, no part of the value is told. */
static void assert_refused(const char *file, const char *fragment)
{
    struct error error;
    char *secret = credential_load(NAME, file, &error);
    if (secret)
        fail_msg("taken, without: %s", fragment);
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    if (!strstr(error.message, fragment))
        fail_msg("\"%s\" lacks \"%s\"", error.message, fragment);
    assert_null(strstr(error.message, "Sekrit"));
    assert_null(strstr(error.message, "AIza"));
}

static void test_the_order_of_sources(void **state)
{
    const struct places *p = *state;
    write_text(p->file, "from-file\n");
    assert_loads(p->file, "from-file");
    setenv(VARIABLE, "from-environment", 1);
    assert_loads(p->file, "from-environment");
    assert_loads(NULL, "from-environment");
    setenv("CREDENTIALS_DIRECTORY", p->directory, 1);
    assert_loads(p->file, "from-environment");
    write_text(p->given, "from-directory\n");
    assert_loads(p->file, "from-directory");
}

/* What is there but no good is an error, not a reason to try the next source. */
static void test_a_bad_source_is_not_passed_over(void **state)
{
    const struct places *p = *state;
    write_text(p->file, "from-file");
    setenv(VARIABLE, SECRET " x", 1);
    assert_refused(p->file, VARIABLE " holds no usable secret");
    setenv("CREDENTIALS_DIRECTORY", p->directory, 1);
    write_text(p->given, SECRET "\n" SECRET);
    assert_refused(p->file, "/" NAME " holds no usable secret");
}

static void test_nothing_anywhere(void **state)
{
    const struct places *p = *state;
    setenv("CREDENTIALS_DIRECTORY", p->directory, 1);
    assert_refused(NULL, "no credential \"" NAME "\": looked in $CREDENTIALS_DIRECTORY and the "
                         "environment, and no credential_file is set");
    assert_refused(p->file, "/file: No such file");
}

static void test_names_stay_in_the_directory(void **state)
{
    const struct places *p = *state;
    struct error error;
    char *path = mem_format("..%s", p->given + strlen("/tmp"));
    write_text(p->given, SECRET);
    setenv("CREDENTIALS_DIRECTORY", "/tmp", 1);
    assert_null(credential_load(p->given + strlen("/tmp/"), NULL, &error));
    assert_null(credential_load(path, NULL, &error));
    assert_null(credential_load("..", NULL, &error));
    assert_non_null(strstr(error.message, "no regular file"));
    free(path);
}

static void test_who_may_read_the_file(void **state)
{
    static const mode_t good[] = {0600, 0400, 0700}, bad[] = {0640, 0604, 0620, 0602, 0610, 0777};
    const struct places *p = *state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        write_secret(p->file, SECRET, strlen(SECRET), good[i]);
        assert_loads(p->file, SECRET);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_secret(p->file, SECRET, strlen(SECRET), bad[i]);
        char *expected = mem_format("(mode %04o): expected 0600", (unsigned)bad[i]);
        assert_refused(p->file, expected);
        free(expected);
    }
    /* systemd's directory is protected as a whole. */
    setenv("CREDENTIALS_DIRECTORY", p->directory, 1);
    write_secret(p->given, SECRET, strlen(SECRET), 0444);
    assert_loads(p->file, SECRET);
}

static void test_what_is_no_file(void **state)
{
    const struct places *p = *state;
    assert_refused(p->directory, "is no regular file");
    assert_refused("/dev/null", "is no regular file");
    assert_int_equal(mkfifo(p->file, 0600), 0);
    assert_refused(p->file, "is no regular file");
    assert_int_equal(mkdir(p->given, 0700), 0);
    setenv("CREDENTIALS_DIRECTORY", p->directory, 1);
    assert_refused(p->file, "is no regular file");
}

static void test_what_is_a_secret(void **state)
{
    static const char *const good[] = {SECRET,           SECRET "\n", SECRET "\r\n",
                                       SECRET " \t\n\n", "~",         "!#$%&"};
    static const char *const bad[] = {"",          "\n",           " " SECRET,    "\n" SECRET,
                                      SECRET " x", SECRET "\nx",   SECRET "\x7f", "\x01" SECRET,
                                      "\xc3\xa4",  SECRET "\tx\n", "\xff" SECRET};
    const struct places *p = *state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        size_t length = strcspn(good[i], " \t\r\n");
        char *expected = mem_strndup(good[i], length);
        write_text(p->file, good[i]);
        assert_loads(p->file, expected);
        setenv(VARIABLE, good[i], 1);
        assert_loads(NULL, expected);
        unsetenv(VARIABLE);
        free(expected);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_text(p->file, bad[i]);
        assert_refused(p->file, "/file holds no usable secret: expected one line of printable");
        setenv(VARIABLE, bad[i], 1);
        assert_refused(NULL, VARIABLE " holds no usable secret");
        unsetenv(VARIABLE);
    }
    write_secret(p->file, SECRET "\0x", sizeof(SECRET "\0x") - 1, 0600);
    assert_refused(p->file, "holds no usable secret");
}

static void test_length(void **state)
{
    const struct places *p = *state;
    char *secret = mem_alloc(CREDENTIAL_MAX + 2);
    memset(secret, 's', CREDENTIAL_MAX);
    write_text(p->file, secret);
    assert_loads(p->file, secret);
    setenv(VARIABLE, secret, 1);
    assert_loads(NULL, secret);
    secret[CREDENTIAL_MAX] = '\n';
    write_text(p->file, secret);
    unsetenv(VARIABLE);
    assert_refused(p->file, "/file is longer than 4096 bytes");
    setenv(VARIABLE, secret, 1);
    assert_refused(NULL, VARIABLE " is too long");
    free(secret);
}

static void test_freeing_nothing(void **state)
{
    (void)state;
    credential_free(NULL);
}

/* Several lines and other languages, which a key may not have. */
static void test_documents(void **state)
{
    const struct places *p = *state;
    static const char text[] = "{\n  \"name\": \"Sekrit \303\251\"\n}";
    struct error error;
    char *large = mem_alloc(CREDENTIAL_DOCUMENT_MAX + 2);
    write_text(p->file, text);
    char *secret = credential_load_document(NAME, p->file, &error);
    assert_non_null(secret);
    assert_string_equal(secret, text);
    credential_free(secret);
    assert_refused(p->file, "one line of printable ASCII");
    memset(large, 'x', CREDENTIAL_DOCUMENT_MAX + 1);
    write_text(p->file, large);
    assert_null(credential_load_document(NAME, p->file, &error));
    assert_non_null(strstr(error.message, "longer than 16384 bytes"));
    write_secret(p->file, "a\0b", 3, 0600);
    assert_null(credential_load_document(NAME, p->file, &error));
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_order_of_sources, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_bad_source_is_not_passed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_anywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names_stay_in_the_directory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_may_read_the_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_no_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_a_secret, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_length, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_documents, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_freeing_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
