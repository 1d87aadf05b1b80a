#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/agent/prompt.h"
#include "daemon/agent/system_prompt_txt.h"

#define NOON INT64_C(1795435200000) /* of 2026-11-23 */

static struct model_table *table;

static void set(const char *glob, const char *key, const char *value)
{
    struct error error = {0};
    if (model_table_set(table, true, glob, key, value, &error) < 0)
        fail_msg("%s", error.message);
}

static int set_up(void **state)
{
    (void)state;
    table = model_table_new();
    set("omni", "aspect_ratios", "16:9 9:16");
    set("omni", "resolutions", "720p 360p 4k");
    set("omni", "durations", "3-10");
    set("omni", "inputs", "image last_frame");
    set("omni", "accepts", "negative_prompt seed");
    set("omni", "default_resolution", "720p");
    set("omni", "default_duration", "10");
    set("omni", "rule", "when last_frame need image");
    set("omni", "prices", "360p:0.033793 720p:0.10136 1080p:0.15204 4k:0.30408");
    set("veo", "state", "preview");
    set("veo", "aspect_ratios", "16:9");
    set("veo", "resolutions", "720p 1080p");
    set("veo", "durations", "4 6 8");
    set("veo", "inputs", "none");
    set("veo", "accepts", "seed");
    set("veo", "rule", "when resolution=1080p need duration_seconds=8");
    set("veo", "prices", "*:0.40");
    set("old", "state", "shut-down");
    set("plain", "prices", "*:0.5");
    set("bare", "note", "of which nothing is known");
    set("veo-*", "note", "a pattern");
    set("unoffered", "note", "nobody has it");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    model_table_free(table);
    return 0;
}

static bool is_offered(void *arg, const char *model)
{
    assert_ptr_equal(arg, &table);
    return strcmp(model, "unoffered") != 0;
}

static bool is_not_offered(void *arg, const char *model)
{
    (void)arg;
    (void)model;
    return false;
}

static struct prompt_facts facts_of(const char *default_model)
{
    return (struct prompt_facts){.models = table,
                                 .is_offered = is_offered,
                                 .arg = &table,
                                 .default_model = default_model,
                                 .now = NOON};
}

static void expect_filled(const char *text, const struct prompt_facts *facts, const char *expected)
{
    char *filled = prompt_fill(text, facts);
    assert_string_equal(filled, expected);
    free(filled);
}

static void test_models_that_can_be_asked_for_are_listed(void **state)
{
    (void)state;
    struct prompt_facts facts = facts_of("omni");
    expect_filled("{models}", &facts,
                  "- omni (default); 16:9, 9:16; 3-10 s (10 by default); 720p (default) $0.1014, "
                  "360p $0.0338, 4k $0.3041 a second\n"
                  "- veo; 16:9; 4, 6, 8 s; 720p $0.40, 1080p $0.40 a second; when resolution=1080p "
                  "need duration_seconds=8; takes no image; takes no negative_prompt\n"
                  "- plain; $0.50 a second\n"
                  "- bare");
}

static void test_a_default_that_google_shut_down_is_listed(void **state)
{
    (void)state;
    struct prompt_facts facts = facts_of("old");
    char *filled = prompt_fill("{models}", &facts);
    assert_non_null(strstr(filled, "- old (default)\n"));
    free(filled);
}

static void test_without_models_the_prompt_says_so(void **state)
{
    (void)state;
    struct prompt_facts facts = facts_of(NULL);
    facts.is_offered = is_not_offered;
    expect_filled("{models} {default_model}", &facts,
                  "(Nothing is known of them: leave out what you can.) the server's default");
}

static void test_only_what_is_known_is_filled_in(void **state)
{
    (void)state;
    struct prompt_facts facts = facts_of("omni");
    expect_filled("", &facts, "");
    expect_filled("{today}{default_model}{today}", &facts, "2026-11-23omni2026-11-23");
    expect_filled("{\"a\":{models }} {Today} {{default_model}} {", &facts,
                  "{\"a\":{models }} {Today} {omni} {");
}

/* A model's name may look like a place; it is not filled again. */
static void test_facts_are_not_filled(void **state)
{
    (void)state;
    struct prompt_facts facts = facts_of("{today}");
    expect_filled("<{default_model}>", &facts, "<{today}>");
}

static void test_the_shipped_prompt_has_all_places(void **state)
{
    static const char *const topics[] = {"generate_video_from_text",
                                         "generate_video_from_image",
                                         "check_video_status",
                                         "9:16",
                                         "1:1",
                                         "negative_prompt",
                                         "SynthID",
                                         "two days",
                                         "sound",
                                         "six minutes",
                                         "filtered",
                                         "held",
                                         "uncertain",
                                         "language",
                                         "price"};
    (void)state;
    struct prompt_facts facts = facts_of("omni");
    char *filled = prompt_fill(NULL, &facts);
    assert_true(strlen(filled) > sizeof(system_prompt_txt));
    assert_null(strchr(filled, '{'));
    assert_non_null(strstr(filled, "2026-11-23"));
    assert_non_null(strstr(filled, "\n- omni (default);"));
    assert_non_null(strstr(filled, "omni is used"));
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++)
        if (!strstr(filled, topics[i]))
            fail_msg("nothing about %s", topics[i]);
    free(filled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models_that_can_be_asked_for_are_listed),
        cmocka_unit_test(test_a_default_that_google_shut_down_is_listed),
        cmocka_unit_test(test_without_models_the_prompt_says_so),
        cmocka_unit_test(test_only_what_is_known_is_filled_in),
        cmocka_unit_test(test_facts_are_not_filled),
        cmocka_unit_test(test_the_shipped_prompt_has_all_places),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
