/* How the words that name files, jobs and operations are told apart; amounts; CSV. */
#include "proto/ctl/csv.c"
#include "proto/ctl/media.c"
#include "proto/ctl/money.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* What media_write would do with a file isn't looked at here. */
int uploads_put(struct uploads *uploads, struct connection *connection, const char *path,
                char ret_blob[BLOB_NAME_MAX], char why[UPLOAD_TEXT])
{
    (void)uploads;
    (void)connection;
    (void)path;
    (void)why;
    strcpy(ret_blob, "sha256-of-it");
    return 0;
}

static enum media_kind kind(const char *word)
{
    char why[UPLOAD_TEXT] = "";
    enum media_kind result = media_kind_of(word, why);
    assert_true((result == MEDIA_BAD) == (*why != '\0'));
    return result;
}

static void names_are_the_daemons_to_judge(void **state)
{
    static const char *const names[] = {
        "01JD",
        "01jd0000000000000000000001",
        "sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "models/veo-3.1/operations/abc",
        "projects/p/locations/l/publishers/google/models/m/operations/o",
        "operations/x",
        "v1_Chd",
        "int_0a1b",
        "video_0a1b",
        "https://x.example/videos/a.mp4",
        "gs://bucket/a.mp4",
    };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(kind(names[i]), MEDIA_NAME);
    assert_int_equal(kind("last"), MEDIA_LAST);
}

static void what_can_only_be_a_file_is_one(void **state)
{
    static const char *const names[] = {
        "",
        "./01JD",
        "../01JD",
        "/01JD",
        "~/01JD",
        "cat.png",
        "pets/cat",
        "abc",
        "cats",
        "8ABC",
        "my cat",
        "sha256-",
        "sha256-0123",
        "sha256-0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
        ".",
    };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(kind(names[i]), MEDIA_BAD);
}

static void an_existing_file_comes_first(void **state)
{
    char folder[] = "/tmp/veoctl-media-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    static const char *const names[] = {"01JD0000", "last", "v1_x", "cat.png"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        FILE *file = fopen(names[i], "w");
        assert_non_null(file);
        fclose(file);
        assert_int_equal(kind(names[i]), MEDIA_FILE);
        unlink(names[i]);
    }
    assert_int_equal(chdir("/"), 0);
    rmdir(folder);
}

static void check_money(double usd, const char *expected)
{
    char text[MONEY_TEXT];
    money_text(usd, text);
    assert_string_equal(text, expected);
}

static void amounts_have_cents_and_what_is_below(void **state)
{
    (void)state;
    check_money(0, "$0.00");
    check_money(0.4, "$0.40");
    check_money(12, "$12.00");
    check_money(0.125, "$0.125");
    check_money(0.0042, "$0.0042");
    check_money(0.0000004, "$0.00");
    check_money(-1.5, "-$1.50");
    check_money(1e12, "$1000000000000.00");
}

static void check_csv(const char *first, const char *second, const char *expected)
{
    struct buf record;
    buf_init(&record, 1024);
    csv_add(&record, first);
    csv_add(&record, second);
    assert_string_equal(buf_text(&record), expected);
    buf_free(&record);
}

static void csv_quotes_what_needs_it(void **state)
{
    (void)state;
    check_csv("a", "b c", "a,b c");
    check_csv("", "", "\"\",\"\"");
    check_csv("a,b", "c", "\"a,b\",c");
    check_csv("say \"x\"", "1\n2", "\"say \"\"x\"\"\",\"1\n2\"");
    check_csv("\r", "ü", "\"\r\",ü");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_the_daemons_to_judge),
        cmocka_unit_test(what_can_only_be_a_file_is_one),
        cmocka_unit_test(an_existing_file_comes_first),
        cmocka_unit_test(amounts_have_cents_and_what_is_below),
        cmocka_unit_test(csv_quotes_what_needs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
