#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/cmd/expose.h"

struct page {
    struct buf text;
    struct expose expose;
};

static struct expose *begin(struct page *page)
{
    buf_init(&page->text, 1 << 20);
    page->expose = (struct expose){.out = &page->text};
    return &page->expose;
}

static void expect(struct page *page, const char *text)
{
    assert_false(page->text.failed);
    assert_string_equal(buf_text(&page->text), text);
    buf_free(&page->text);
}

static void test_families_and_labels(void **state)
{
    struct page page;
    struct expose *expose = begin(&page);
    (void)state;
    expose_family(expose, "a_total", EXPOSE_COUNTER, "Things.");
    expose_uint(expose, EXPOSE_LABELS("x", "1"), 3);
    expose_uint(expose, EXPOSE_LABELS("x", "2", "y", ""), UINT64_MAX);
    expose_one_uint(expose, "b", EXPOSE_GAUGE, "Bytes.", 0);
    expose_one_double(expose, "c_seconds", EXPOSE_GAUGE, "Time.", 0.25);
    expect(&page, "# HELP a_total Things.\n# TYPE a_total counter\n"
                  "a_total{x=\"1\"} 3\n"
                  "a_total{x=\"2\",y=\"\"} 18446744073709551615\n"
                  "# HELP b Bytes.\n# TYPE b gauge\nb 0\n"
                  "# HELP c_seconds Time.\n# TYPE c_seconds gauge\nc_seconds 0.25\n");
}

static void test_escapes(void **state)
{
    struct page page;
    struct expose *expose = begin(&page);
    (void)state;
    expose_family(expose, "a", EXPOSE_GAUGE, "A \\ and\na \"quote\".");
    expose_uint(expose, EXPOSE_LABELS("model", "a\\b\"c\nd, }\xc3\xa9"), 1);
    expect(&page, "# HELP a A \\\\ and\\na \"quote\".\n# TYPE a gauge\n"
                  "a{model=\"a\\\\b\\\"c\\nd, }\xc3\xa9\"} 1\n");
}

static void test_numbers(void **state)
{
    struct page page;
    struct expose *expose = begin(&page);
    (void)state;
    expose_family(expose, "a", EXPOSE_GAUGE, "N.");
    expose_double(expose, EXPOSE_PLAIN, INFINITY);
    expose_double(expose, EXPOSE_PLAIN, -INFINITY);
    expose_double(expose, EXPOSE_PLAIN, (double)NAN);
    expose_double(expose, EXPOSE_PLAIN, 1e300);
    expose_usd(expose, EXPOSE_PLAIN, 3200000);
    expose_usd(expose, EXPOSE_PLAIN, -1);
    expect(&page, "# HELP a N.\n# TYPE a gauge\n"
                  "a +Inf\na -Inf\na NaN\na 1e+300\na 3.2\na -1e-06\n");
}

static void test_a_histogram(void **state)
{
    static const struct histogram_scale scale = {
        .bounds = {100, 2500}, .count = 2, .per_unit = 1e3};
    struct histogram histogram;
    struct page page;
    struct expose *expose = begin(&page);
    (void)state;
    histogram_init(&histogram, &scale);
    histogram_add(&histogram, 50);
    histogram_add(&histogram, 100);
    histogram_add(&histogram, 200);
    histogram_add(&histogram, 9000);
    histogram_add(&histogram, 26);
    expose_family(expose, "h_seconds", EXPOSE_HISTOGRAM, "H.");
    expose_histogram(expose, EXPOSE_LABELS("p", "q"), &histogram);
    expect(&page, "# HELP h_seconds H.\n# TYPE h_seconds histogram\n"
                  "h_seconds_bucket{p=\"q\",le=\"0.1\"} 3\n"
                  "h_seconds_bucket{p=\"q\",le=\"2.5\"} 4\n"
                  "h_seconds_bucket{p=\"q\",le=\"+Inf\"} 5\n"
                  "h_seconds_sum{p=\"q\"} 9.376\n"
                  "h_seconds_count{p=\"q\"} 5\n");
    expose = begin(&page);
    histogram_init(&histogram, &scale);
    expose_one_histogram(expose, "h", "H.", &histogram);
    expect(&page, "# HELP h H.\n# TYPE h histogram\n"
                  "h_bucket{le=\"0.1\"} 0\nh_bucket{le=\"2.5\"} 0\nh_bucket{le=\"+Inf\"} 0\n"
                  "h_sum 0\nh_count 0\n");
}

/* As they are read back: 0.3, and not 0.30000000000000004. */
static void test_no_bound_is_crooked(void **state)
{
    static const struct histogram_scale *const scales[] = {&histogram_moments, &histogram_answers,
                                                           &histogram_patience, &histogram_numbers};
    (void)state;
    for (size_t s = 0; s < 4; s++) {
        struct histogram histogram;
        struct page page;
        struct expose *expose = begin(&page);
        histogram_init(&histogram, scales[s]);
        expose_one_histogram(expose, "h", "H.", &histogram);
        for (const char *line = buf_text(&page.text); (line = strstr(line, "le=\""));) {
            line += 4;
            assert_true(strcspn(line, "\"") <= 8);
        }
        buf_free(&page.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families_and_labels),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_a_histogram),
        cmocka_unit_test(test_no_bound_is_crooked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
