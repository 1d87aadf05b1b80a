/* The section [agent], and the file with what its model is told first. */
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

#include "daemon/settings.h"
#include "proto/buf.h"
#include "proto/mem.h"

#define FILE_NAME "prompt.txt"

static int set_up(void **state)
{
    char directory[] = "/tmp/veod-config-XXXXXX";
    if (!mkdtemp(directory))
        return -1;
    *state = mem_strdup(directory);
    return 0;
}

static int tear_down(void **state)
{
    char *path = mem_format("%s/" FILE_NAME, (char *)*state);
    if (unlink(path) < 0)
        rmdir(path);
    free(path);
    int status = rmdir(*state);
    free(*state);
    return status;
}

/* With one key of [agent], or none. */
static int load(const char *key, struct config *config, struct error *error)
{
    char *override = key ? mem_format("agent.%s", key) : NULL;
    char *overrides[] = {override, NULL};
    int status = config_load("/nowhere/veod.conf", true, overrides, config, error);
    free(override);
    return status;
}

static void must_load(const char *key, struct config *config)
{
    struct error error = {0};
    if (load(key, config, &error) < 0)
        fail_msg("%s", error.message);
}

static void test_defaults(void **state)
{
    static const char *const globs[] = {"gemini-1.*",   "gemini-2.*", "gemini-3-*", "gemini-3.1-*",
                                        "gemini-3.5-*", "gpt-4*",     "claude-*"};
    struct config config;
    (void)state;
    must_load(NULL, &config);
    const struct agent_config agent = settings_agent(&config, "be kind");
    assert_string_equal(agent.base_url, "https://generativelanguage.googleapis.com/v1beta/openai");
    assert_string_equal(agent.model, "gemini-flash-latest");
    assert_string_equal(config.agent_credential, "gemini-api-key");
    assert_null(config.agent_credential_file);
    assert_null(config.agent_system_prompt);
    assert_string_equal(agent.system_prompt, "be kind");
    assert_string_equal(agent.temperature, "0.7");
    for (size_t i = 0; i < 7; i++)
        assert_string_equal(agent.temperature_models[i], globs[i]);
    assert_null(agent.temperature_models[7]);
    assert_int_equal(agent.max_tokens, 1000);
    assert_int_equal(agent.rounds, 12);
    assert_int_equal(agent.tokens, 200000);
    assert_int_equal(agent.time_ms, 30 * 60 * 1000);
    assert_int_equal(agent.max_usd, 10000000);
    assert_int_equal(agent.video_wait_ms, 6 * 60 * 1000);
    assert_int_equal(config.agent_calls, 64);
    assert_int_equal(agent.conversations, 1000);
    assert_int_equal(agent.session_age_ms, 7 * 24 * 3600 * 1000);
    assert_int_equal(agent.session_bytes, 4 * 1024 * 1024);
    assert_int_equal(agent.connect_ms, config.connect_timeout);
    assert_int_equal(agent.answer_ms, config.answer_timeout);
    assert_int_equal(agent.reply_bytes, config.reply_bytes);
    assert_int_equal(agent.backoff.base_ms, config.base_delay);
    assert_int_equal(agent.backoff.max_ms, config.max_delay);
    config_free(&config);
}

static void test_values(void **state)
{
    static const char *const temperatures[] = {"0", "2", "1.25", "1e0", "2.0"};
    static const char *const urls[][2] = {
        {"base_url=http://localhost:4000/v1", "http://localhost:4000/v1"},
        {"base_url=https://proxy.example/v1//", "https://proxy.example/v1"},
    };
    struct config config;
    (void)state;
    for (size_t i = 0; i < sizeof(temperatures) / sizeof(temperatures[0]); i++) {
        char *key = mem_format("temperature=%s", temperatures[i]);
        must_load(key, &config);
        assert_string_equal(config.agent_temperature, temperatures[i]);
        config_free(&config);
        free(key);
    }
    for (size_t i = 0; i < 2; i++) {
        must_load(urls[i][0], &config);
        assert_string_equal(config.agent_base_url, urls[i][1]);
        config_free(&config);
    }
    must_load("temperature_models=a-*,\tb", &config);
    assert_string_equal(config.agent_globs[0], "a-*");
    assert_string_equal(config.agent_globs[1], "b");
    assert_null(config.agent_globs[2]);
    config_free(&config);
}

static void test_bad_values(void **state)
{
    static const char *const bad[][2] = {
        {"base_url=ftp://h", "[agent] base_url must begin with http:// or https://"},
        {"base_url=https://me:word@h/v1", "[agent] base_url must have no user"},
        {"base_url=https://h/v1?key=a", "[agent] base_url must have no user"},
        {"base_url=https://h/v1#a", "[agent] base_url must have no user"},
        {"base_url=", "[agent] base_url must be set to something"},
        {"model=", "[agent] model must be set"},
        {"temperature=", "[agent] temperature must be set"},
        {"temperature=2.1", "[agent] temperature must be a number from 0 to 2 such as 0.7"},
        {"temperature=-1", "not \"-1\""},
        {"temperature=warm", "not \"warm\""},
        {"temperature=.5", "not \".5\""},
        {"temperature=1,\"top_p\":1", "must be a number"},
        {"temperature=\"1\"", "must be a number"},
        {"temperature=[1]", "must be a number"},
        {"temperature_models=, ,", "temperature_models must have 1 to 64 patterns"},
        {"max_tokens=-1", "max_tokens must be a number from 0"},
        {"rounds=0", "rounds must be a number from 1"},
        {"tokens=0", "tokens must be a number from 1"},
        {"time=0s", "time must be a duration from 1s"},
        {"max_usd=-1", "max_usd must be dollars"},
        {"video_wait=-1s", "video_wait must be a duration"},
        {"calls=0", "calls must be a number from 1"},
        {"conversations=0", "conversations must be a number from 1"},
        {"session_age=0s", "session_age must be a duration"},
        {"session_bytes=63K", "session_bytes must be a size from 64.0 KiB to 64.0 MiB"},
        {"session_bytes=65M", "session_bytes must be a size"},
        {"colour=red", "unknown key \"colour\" in [agent]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct config config;
        struct error error = {0};
        const char *expected = bad[i][1];
        if (load(bad[i][0], &config, &error) == 0)
            fail_msg("taken: %s", bad[i][0]);
        if (!strstr(error.message, expected))
            fail_msg("\"%s\" lacks \"%s\"", error.message, expected);
    }
}

/* ---- reading anew ---- */

static int reload(struct config *config, const char *key, char **changed)
{
    struct config anew;
    struct error error = {0};
    struct buf names;
    buf_init(&names, 1000);
    must_load(key, &anew);
    int status = config_reload(config, &anew, &names, &error);
    config_free(&anew);
    *changed = status == 0 ? buf_steal(&names) : mem_strdup(error.message);
    buf_free(&names);
    return status;
}

static void test_what_can_change(void **state)
{
    static const char *const free_keys[] = {
        "model=m",         "system_prompt=/p", "temperature=1",   "temperature_models=m",
        "max_tokens=0",    "rounds=1",         "tokens=1",        "time=1s",
        "max_usd=0",       "video_wait=0s",    "conversations=1", "session_age=1s",
        "session_bytes=1M"};
    static const char *const fixed[] = {"base_url=http://h", "credential=x", "credential_file=/x",
                                        "calls=1"};
    (void)state;
    for (size_t i = 0; i < sizeof(free_keys) / sizeof(free_keys[0]); i++) {
        struct config config;
        char *changed, *expected = mem_format("agent.%s", free_keys[i]);
        *strchr(expected, '=') = '\0';
        must_load(NULL, &config);
        assert_int_equal(reload(&config, free_keys[i], &changed), 0);
        assert_string_equal(changed, expected);
        config_free(&config);
        free(changed);
        free(expected);
    }
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        struct config config;
        char *message;
        must_load("temperature_models=a b", &config);
        assert_int_equal(reload(&config, fixed[i], &message), -1);
        assert_non_null(strstr(message, "a restart is needed for agent."));
        assert_string_equal(config.agent_globs[1], "b");
        config_free(&config);
        free(message);
    }
}

/* Those that a list has become longer or shorter by belong to the right side. */
static void test_globs_change_with_their_list(void **state)
{
    struct config config;
    char *changed;
    (void)state;
    must_load("temperature_models=a", &config);
    assert_int_equal(reload(&config, "temperature_models=x y z", &changed), 0);
    free(changed);
    assert_string_equal(config.agent_globs[0], "x");
    assert_string_equal(config.agent_globs[2], "z");
    assert_null(config.agent_globs[3]);
    assert_int_equal(reload(&config, "temperature_models=b", &changed), 0);
    free(changed);
    assert_string_equal(config.agent_globs[0], "b");
    assert_null(config.agent_globs[1]);
    config_free(&config);
}

/* ---- the system prompt ---- */

static int read_prompt(const char *directory, const char *bytes, size_t length, char **ret,
                       struct error *error)
{
    struct config config = {.agent_system_prompt = mem_format("%s/" FILE_NAME, directory)};
    if (bytes) {
        FILE *file = fopen(config.agent_system_prompt, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, length, file), length);
        assert_int_equal(fclose(file), 0);
    }
    int status = settings_system_prompt(&config, ret, error);
    free(config.agent_system_prompt);
    return status;
}

static void test_system_prompt(void **state)
{
    static const char words[] = "You make videos \xc3\xa4.\n\n{models}\n";
    struct config none = {0};
    struct error error = {0};
    char *text = NULL, *large = mem_alloc(64 * 1024);
    assert_int_equal(settings_system_prompt(&none, &text, &error), 0);
    assert_null(text);
    assert_int_equal(read_prompt(*state, words, strlen(words), &text, &error), 0);
    assert_string_equal(text, words);
    free(text);
    memset(large, 'x', 64 * 1024);
    assert_int_equal(read_prompt(*state, large, 64 * 1024, &text, &error), 0);
    assert_int_equal(strlen(text), 64 * 1024);
    free(text);
    free(large);
}

static void assert_prompt_refused(const char *directory, const char *bytes, size_t length,
                                  const char *why)
{
    char *text = NULL,
         *expected = mem_format("[agent] system_prompt %s/" FILE_NAME ": %s", directory, why);
    struct error error = {0};
    assert_int_equal(read_prompt(directory, bytes, length, &text, &error), -1);
    assert_null(text);
    assert_string_equal(error.message, expected);
    free(expected);
}

static void test_bad_system_prompts(void **state)
{
    const char *directory = *state;
    char *large = mem_alloc(64 * 1024 + 1), *path = mem_format("%s/" FILE_NAME, directory);
    memset(large, 'x', 64 * 1024 + 1);
    assert_prompt_refused(directory, NULL, 0, "No such file or directory");
    assert_prompt_refused(directory, "a\xff", 2, "no text in UTF-8");
    assert_prompt_refused(directory, "a\xc3", 2, "no text in UTF-8");
    assert_prompt_refused(directory, "a\0b", 3, "no text in UTF-8");
    assert_prompt_refused(directory, "", 0, "empty");
    assert_prompt_refused(directory, " \n\t\n", 4, "empty");
    assert_prompt_refused(directory, large, 64 * 1024 + 1, "longer than 64 KiB");
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_prompt_refused(directory, NULL, 0, "no regular file");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_prompt_refused(directory, NULL, 0, "no regular file");
    free(large);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_what_can_change),
        cmocka_unit_test(test_globs_change_with_their_list),
        cmocka_unit_test_setup_teardown(test_system_prompt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_system_prompts, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
