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

#include "daemon/config.h"
#include "daemon/config_file.h"
#include "proto/buf.h"
#include "proto/mem.h"

/* A directory of its own for each test: veod.conf and veod.conf.d in it. */
struct files {
    char directory[64];
    char *path;
};

static void write_bytes(const struct files *f, const char *name, const char *bytes, size_t length)
{
    char *path = mem_format("%s/%s", f->directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    free(path);
}

static void write_text(const struct files *f, const char *name, const char *text)
{
    write_bytes(f, name, text, strlen(text));
}

static int set_up(void **state)
{
    struct files *f = mem_alloc(sizeof(*f));
    strcpy(f->directory, "/tmp/veod-config-XXXXXX");
    *state = f;
    if (!mkdtemp(f->directory))
        return -1;
    char *parts = mem_format("%s/veod.conf.d", f->directory);
    int status = mkdir(parts, 0755);
    free(parts);
    f->path = mem_format("%s/veod.conf", f->directory);
    return status;
}

static int tear_down(void **state)
{
    struct files *f = *state;
    char *command = mem_format("chmod -R u+rwx %s && rm -rf %s", f->directory, f->directory);
    int status = system(command);
    free(command);
    free(f->path);
    free(f);
    return status;
}

static void load(const struct files *f, char *const *overrides, struct config *config)
{
    struct error error = {0};
    if (config_load(f->path, false, overrides, config, &error) < 0)
        fail_msg("%s", error.message);
}

static void assert_refused(const struct files *f, char *const *overrides, const char *fragment)
{
    struct config config;
    struct error error = {0};
    if (config_load(f->path, false, overrides, &config, &error) == 0)
        fail_msg("taken, without: %s", fragment);
    if (!strstr(error.message, fragment))
        fail_msg("\"%s\" lacks \"%s\"", error.message, fragment);
    assert_int_equal(config.provider_count, 0);
    assert_null(config.socket);
}

static void assert_text_refused(const struct files *f, const char *text, const char *fragment)
{
    write_text(f, "veod.conf", text);
    assert_refused(f, NULL, fragment);
}

static char *printed(const struct config *config)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    config_print(config, to);
    fclose(to);
    return text;
}

static void test_defaults(void **state)
{
    const struct files *f = *state;
    struct config config;
    struct error error = {0};
    assert_int_equal(config_load(f->path, true, NULL, &config, &error), 0);
    assert_string_equal(config.socket, "/run/veod/veod.sock");
    assert_int_equal(config.socket_mode, 0660);
    assert_null(config.socket_group);
    assert_null(config.admin_group);
    assert_string_equal(config.output_directory, "/var/lib/veod/videos");
    assert_string_equal(config.default_model, "gemini-omni-1.1-flash");
    assert_int_equal(config.in_flight, 1000);
    assert_int_equal(config.poll_min, 1000);
    assert_int_equal(config.poll_max, 30000);
    assert_int_equal(config.max_attempts, 3);
    assert_int_equal(config.base_delay, 5000);
    assert_int_equal(config.max_delay, 300000);
    assert_int_equal(config.connect_for, 3600000);
    assert_int_equal(config.deadline, 86400000);
    assert_int_equal(config.result_bytes, INT64_C(4) << 30);
    assert_string_equal(config.on_uncertain, "hold");
    assert_true(config.provider_is_default);
    assert_int_equal(config.provider_count, 1);
    assert_string_equal(config.providers[0].name, "gemini");
    assert_string_equal(config.providers[0].dialect, "interactions");
    assert_string_equal(config.providers[0].base_url, "https://generativelanguage.googleapis.com");
    assert_string_equal(config.providers[0].api_version, "v1beta");
    assert_string_equal(config.providers[0].credential, "gemini-api-key");
    assert_string_equal(config.providers[0].globs[0], "gemini-omni-*");
    assert_null(config.providers[0].globs[1]);
    config_free(&config);
}

/* As systemd names them: the unit's directories are the defaults, and what is said goes before. */
static void test_directories_of_a_unit(void **state)
{
    const struct files *f = *state;
    struct config config;
    setenv("STATE_DIRECTORY", "/srv/a:/srv/b", 1);
    setenv("RUNTIME_DIRECTORY", "/run/a", 1);
    setenv("CONFIGURATION_DIRECTORY", "/srv/etc", 1);
    write_text(f, "veod.conf", "[daemon]\n");
    load(f, NULL, &config);
    assert_string_equal(config.socket, "/run/a/veod.sock");
    assert_string_equal(config.state_directory, "/srv/a");
    assert_string_equal(config.output_directory, "/srv/a/videos");
    config_free(&config);
    write_text(f, "veod.conf", "[daemon]\nstate_directory = /srv/c\nsocket = /run/c\n");
    load(f, NULL, &config);
    assert_string_equal(config.socket, "/run/c");
    assert_string_equal(config.output_directory, "/srv/c/videos");
    config_free(&config);
    char *path = config_default_path();
    assert_string_equal(path, "/srv/etc/veod.conf");
    free(path);
    unsetenv("STATE_DIRECTORY");
    unsetenv("RUNTIME_DIRECTORY");
    unsetenv("CONFIGURATION_DIRECTORY");
    path = config_default_path();
    assert_string_equal(path, VEOD_CONFIG_FILE);
    free(path);
}

static void test_a_missing_file(void **state)
{
    const struct files *f = *state;
    assert_refused(f, NULL, "veod.conf: No such file");
    /* What is there but can't be read is never taken for missing. */
    struct config config;
    struct error error = {0};
    assert_int_equal(mkdir(f->path, 0755), 0);
    assert_int_equal(config_load(f->path, true, NULL, &config, &error), -1);
    assert_non_null(strstr(error.message, "veod.conf: Is a directory"));
}

static void test_later_ones_win(void **state)
{
    const struct files *f = *state;
    char *overrides[] = {"limits.clients=5", NULL};
    struct config config;
    write_text(f, "veod.conf",
               "[limits]\nin_flight = 1\njobs = 1\nclients = 1\n[poll]\nmin=20ms\n");
    write_text(f, "veod.conf.d/20.conf", "[limits]\njobs = 3\nclients = 3\n");
    write_text(f, "veod.conf.d/10.conf", "[limits]\njobs = 2\nclients = 2\nclients=4\n");
    write_text(f, "veod.conf.d/30.conf.bak", "garbage");
    write_text(f, "veod.conf.d/.40.conf", "garbage");
    write_text(f, "veod.conf.d/50", "garbage");
    load(f, overrides, &config);
    assert_int_equal(config.in_flight, 1);
    assert_int_equal(config.jobs, 3);
    assert_int_equal(config.clients, 5);
    assert_int_equal(config.poll_min, 20);
    assert_int_equal(config.client_commands, 256);
    config_free(&config);
    write_text(f, "veod.conf.d/15.conf", "[limits]\n\njobs = x\n");
    assert_refused(f, NULL, "veod.conf.d/15.conf:3: [limits] jobs");
}

static void test_parts_that_cannot_be_read(void **state)
{
    const struct files *f = *state;
    write_text(f, "veod.conf", "");
    char *part = mem_format("%s/veod.conf.d/x.conf", f->directory);
    assert_int_equal(mkdir(part, 0755), 0);
    assert_refused(f, NULL, "x.conf: Is a directory");
    rmdir(part);
    free(part);
    char *parts = mem_format("%s/veod.conf.d", f->directory);
    rmdir(parts);
    struct config config;
    load(f, NULL, &config);
    config_free(&config);
    write_text(f, "veod.conf.d", "a file");
    assert_refused(f, NULL, "veod.conf.d: Not a directory");
    free(parts);
}

static void test_how_lines_are_read(void **state)
{
    const struct files *f = *state;
    struct config config;
    write_text(f, "veod.conf",
               "\xef\xbb\xbf# a comment\r\n; another\r\n\r\n[daemon]\r\n"
               "  socket =  /a b=c \r\n\toutput_directory = /o ; a remark\r\n"
               "state_directory: /s\r\nadmin_group =\r\nlog_level=debug");
    load(f, NULL, &config);
    assert_string_equal(config.socket, "/a b=c");
    assert_string_equal(config.output_directory, "/o");
    assert_string_equal(config.state_directory, "/s");
    assert_null(config.admin_group);
    assert_string_equal(config.log_level, "debug");
    config_free(&config);
}

static void test_bad_values(void **state)
{
    static const char *const bad[][2] = {
        {"[limits]\njobs = many\n", "veod.conf:2: [limits] jobs must be a number from 1 to "
                                    "10000000, not \"many\""},
        {"[limits]\njobs = 0\n", "from 1 to"},
        {"[limits]\njobs = 10000001\n", "from 1 to"},
        {"[limits]\njobs = 99999999999999999999\n", "from 1 to"},
        {"[limits]\njobs = 5x\n", "not \"5x\""},
        {"[limits]\njobs =\n", "not \"\""},
        {"[poll]\n\n\nmin = 5 s\n", "veod.conf:4: [poll] min must be a duration from 10ms to 1h"},
        {"[poll]\nmin = 9ms\n", "not \"9ms\""},
        {"[poll]\nmin = 61m\n", "not \"61m\""},
        {"[limits]\nclient_output = 1MB\n", "a size from 64.0 KiB to 1.0 GiB"},
        {"[limits]\nclient_output = 65535\n", "not \"65535\""},
        {"[limits]\nclient_output = 99999999999G\n", "a size"},
        {"[daemon]\nsocket_mode = 0680\n", "an octal mode such as 0660, not \"0680\""},
        {"[daemon]\nsocket_mode = 1777\n", "octal"},
        {"[daemon]\nlog_level = loud\n", "one of: error warning info debug, not \"loud\""},
        {"[daemon]\nlog_level = inf\n", "one of"},
        {"[daemon]\nlog_level = error warning\n", "one of"},
        {"[daemon]\nlog_level =\n", "one of"},
        {"[retry]\non_uncertain = ask\n", "one of: hold retry"},
        {"[daemon]\nsocket =\n", "[daemon] socket must be set to something"},
        {"[daemon]\nsocket = /s # here\n", "comments on lines of their own"},
        {"[provider x]\ncredential =\n", "credential must be set"},
        {"[poll]\nmin = 2s\nmax = 1s\n", "[poll] min must not be above [poll] max"},
        {"[retry]\nbase_delay = 2s\nmax_delay = 1s\n", "base_delay must not be above"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_text_refused(*state, bad[i][0], bad[i][1]);
}

static void test_bad_structure(void **state)
{
    static const char *const bad[][2] = {
        {"[daemon]\nsockets = /x\n", "veod.conf:2: unknown key \"sockets\" in [daemon]"},
        {"[deamon]\nsocket = /x\n", "veod.conf:2: unknown section [deamon]"},
        {"[Daemon]\nsocket = /x\n", "unknown section"},
        {"socket = /x\n", "veod.conf:1: unknown section []"},
        {"[provider]\ndialect = predict\n", "unknown section [provider]"},
        {"[daemon]\nwhat is this\n", "veod.conf:2: expected [section], key = value or a comment"},
        {"[daemon\nsocket = /x\n", "veod.conf:1: expected [section]"},
        {"[daemon]\n\nnonsense\n[x]\ny = z\n", "veod.conf:3: expected"},
        {"[x]\ny = z\n\nnonsense\n", "veod.conf:2: unknown section [x]"},
        {"[provider a b]\ndialect = predict\n", "not \"a b\""},
        {"[provider ]\ndialect = predict\n", "veod.conf:2: a provider's name must be 1 to 40"},
        {"[provider 1234567890123456789012345678901234567890]\ndialect=x\n",
         "must be interactions"},
        {"[provider 12345678901234567890123456789012345678901]\ndialect=x\n", "name is too long"},
        {"[provider 123456789012345678901234567890123456789012345678901234567890]\ndialect=x\n",
         "veod.conf:1: the section's name is too long"},
        /* An indented line is a line, not more of the value before. */
        {"[provider p]\nmodels = a,\n  b\n", "veod.conf:3: expected"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_text_refused(*state, bad[i][0], bad[i][1]);
}

/* Up to what libinih takes a line is taken whole; above that it is refused, never cut. */
static void test_long_lines(void **state)
{
    const struct files *f = *state;
    bool refused = false;
    for (size_t length = 20; length < 2000; length++) {
        struct config config;
        struct error error = {0};
        char *value = mem_alloc(length + 1);
        memset(value, 'x', length);
        char *text = mem_format("\n[daemon]\nsocket = %s%s", value, length % 2 ? "\n" : "");
        write_text(f, "veod.conf", text);
        if (config_load(f->path, false, NULL, &config, &error) == 0) {
            assert_false(refused);
            assert_string_equal(config.socket, value);
            config_free(&config);
        } else {
            refused = true;
            assert_true(length > 150);
            assert_non_null(strstr(error.message, "veod.conf:3: the line is too long"));
        }
        free(text);
        free(value);
    }
    write_bytes(f, "veod.conf", "[daemon]\nsocket = /a\0b\n", 23);
    assert_refused(f, NULL, "veod.conf:2: the line is too long, or has a NUL");
}

static void test_overrides(void **state)
{
    const struct files *f = *state;
    struct config config;
    char *good[] = {"daemon.socket=/a=b.c",
                    "provider my.gate-way.dialect=predict",
                    "provider my.gate-way.base_url=http://h:1/",
                    "poll.min=250ms",
                    "poll.min=1.5s",
                    "poll.max=1500ms",
                    "limits.jobs=1",
                    "retry.base_delay=1m",
                    "retry.max_delay=60s",
                    "provider my.gate-way.credential_file=",
                    NULL};
    write_text(f, "veod.conf", "[daemon]\nsocket = /from/file\n");
    load(f, good, &config);
    assert_string_equal(config.socket, "/a=b.c");
    assert_int_equal(config.poll_min, 1500);
    assert_int_equal(config.poll_max, 1500);
    assert_int_equal(config.jobs, 1);
    assert_string_equal(config.providers[0].name, "my.gate-way");
    assert_string_equal(config.providers[0].base_url, "http://h:1");
    assert_string_equal(config.providers[0].globs[0], "veo-*");
    assert_false(config.provider_is_default);
    config_free(&config);

    static const char *const bad[][2] = {
        {"socket", "-o: expected section.key=value, not \"socket\""},
        {"socket=/x", "expected section.key=value"},
        {"daemon.socket", "expected section.key=value"},
        {"daemon.sockets=/x", "-o: unknown key \"sockets\" in [daemon]"},
        {"daemon.socket=", "-o: [daemon] socket must be set"},
        {"daemon.socket=/a\nlog_level = debug", "without control bytes"},
        {"daemon.socket= /a", "must be text"},
        {"daemon.socket=/a ", "must be text"},
        {"daemon.socket=/a ;b", "comments"},
        {"daemon.socket=;b", "comments"},
        {"poll.min=soon", "-o: [poll] min must be a duration"},
        {"provider 12345678901234567890123456789012345678901.dialect=predict", "must be 1 to 40"},
        {"provider a=b.dialect=predict", "expected section.key=value"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *one[] = {mem_strdup(bad[i][0]), NULL};
        assert_refused(f, one, bad[i][1]);
        free(one[0]);
    }
}

static void test_providers(void **state)
{
    const struct files *f = *state;
    struct config config;
    write_text(f, "veod.conf",
               "[provider a]\ndialect = interactions\n[provider b]\ndialect = predict\n"
               "models = veo-2*, veo-3*\tx ,,y\n[provider a]\nbase_url = http://[::1]:9/p//\n");
    load(f, NULL, &config);
    assert_int_equal(config.provider_count, 2);
    assert_string_equal(config.providers[0].base_url, "http://[::1]:9/p");
    static const char *const globs[] = {"veo-2*", "veo-3*", "x", "y"};
    for (int i = 0; i < 4; i++)
        assert_string_equal(config.providers[1].globs[i], globs[i]);
    assert_null(config.providers[1].globs[4]);
    config_free(&config);

    assert_text_refused(f, "[provider a]\nmodels = x\n",
                        "[provider a] dialect must be interactions, predict, vertex or videos, "
                        "not \"\"");
    assert_text_refused(f, "[provider a]\ndialect = soap\n", "not \"soap\"");
    assert_text_refused(f, "[provider a]\ndialect = predict\nbase_url = httpx://h\n",
                        "base_url must begin with http:// or https://");
    static const char *const more[] = {"http://me:word@h", "https://me@h/p", "http://h?key=a",
                                       "http://h/#a"};
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        char text[100];
        snprintf(text, sizeof(text), "[provider a]\ndialect = predict\nbase_url = %s\n", more[i]);
        assert_text_refused(f, text, "[provider a] base_url must have no user, password, query");
    }
    assert_text_refused(f, "[provider a]\ndialect = predict\nmodels = , ,\n",
                        "models must have 1 to 64 patterns");
}

/* Each dialect has an address and a version of its own; Google's cloud has one for each region. */
static void test_defaults_of_the_dialects(void **state)
{
    static const struct {
        const char *text, *base_url, *api_version, *models, *location;
    } rows[] = {
        {"dialect = predict\n", "https://generativelanguage.googleapis.com", "v1beta", "veo-*",
         NULL},
        {"dialect = interactions\n", "https://generativelanguage.googleapis.com", "v1beta",
         "gemini-omni-*", NULL},
        {"dialect = interactions\nproject = p\n", "https://aiplatform.googleapis.com", "v1beta1",
         "gemini-omni-*", "global"},
        {"dialect = vertex\nauth = metadata\nproject = p\nlocation = us-central1\n",
         "https://us-central1-aiplatform.googleapis.com", "v1", "veo-*", "us-central1"},
        {"dialect = vertex\nauth = metadata\nproject = p\nlocation = global\n",
         "https://aiplatform.googleapis.com", "v1", "veo-*", "global"},
        {"dialect = videos\nbase_url = http://h:4000/\n", "http://h:4000", "v1beta", "veo-*", NULL},
    };
    const struct files *f = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = mem_format("[daemon]\ndefault_model = veo-x\n[provider a]\n%s", rows[i].text);
        struct config config;
        write_text(f, "veod.conf", text);
        load(f, NULL, &config);
        const struct config_provider *a = &config.providers[0];
        assert_string_equal(a->base_url, rows[i].base_url);
        assert_string_equal(a->api_version, rows[i].api_version);
        assert_string_equal(a->globs[0], rows[i].models);
        if (rows[i].location)
            assert_string_equal(a->location, rows[i].location);
        else
            assert_null(a->location);
        config_free(&config);
        free(text);
    }
    assert_text_refused(f, "[provider a]\ndialect = videos\n", "base_url must be the proxy's");
    assert_text_refused(f, "[provider a]\ndialect = vertex\nlocation = us-central1\n",
                        "[provider a] project must be the id");
    assert_text_refused(f, "[provider a]\ndialect = vertex\nproject = p\n",
                        "[provider a] location must be a region");
    assert_text_refused(f, "[provider a]\ndialect = vertex\nproject = p\nlocation = a.evil/x\n",
                        "not \"a.evil/x\"");
    assert_text_refused(f,
                        "[provider a]\ndialect = vertex\nproject = p\nlocation = global\n"
                        "storage_uri = /tmp\n",
                        "storage_uri must be an address in Cloud Storage");
}

/* Where a provider's secret comes from. */
static void test_auth(void **state)
{
    static const char vertex[] = "dialect = vertex\nproject = p\nlocation = global\n";
    static const struct {
        const char *text, *credential;
    } rows[] = {
        {"dialect = predict\n", "gemini-api-key"},
        {"dialect = predict\nauth = service-account\n", "service-account-key"},
        {"dialect = predict\nauth = service-account\ncredential = mine\n", "mine"},
        {"dialect = vertex\nproject = p\nlocation = global\ncredential = mine\n", "mine"},
        {"dialect = vertex\nproject = p\nlocation = global\ncredential_file = /t\n",
         "access-token"},
        {"dialect = predict\nauth = command\ntoken_command = gcloud auth\n", "gemini-api-key"},
    };
    const struct files *f = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = mem_format("[daemon]\ndefault_model = veo-x\n[provider a]\n%s", rows[i].text);
        struct config config;
        write_text(f, "veod.conf", text);
        load(f, NULL, &config);
        assert_string_equal(config.providers[0].credential, rows[i].credential);
        config_free(&config);
        free(text);
    }
    char *text = mem_format("[provider a]\n%s", vertex);
    assert_text_refused(f, text, "[provider a] auth must be service-account, metadata or command");
    free(text);
    assert_text_refused(f, "[provider a]\ndialect = predict\nauth = command\n",
                        "[provider a] token_command must be a program");
    assert_text_refused(f, "[provider a]\ndialect = predict\ntoken_command = gcloud\n",
                        "[provider a] auth must be command");
    assert_text_refused(f, "[provider a]\ndialect = predict\nauth = magic\n", "one of: key");
    assert_text_refused(f, "[provider a]\ndialect = predict\nstorage_url = ftp://x\n",
                        "storage_url must be an address");
}

static void test_too_many(void **state)
{
    const struct files *f = *state;
    struct config config;
    struct buf text;
    for (int more = 0; more <= 1; more++) {
        buf_init(&text, 100000);
        for (int i = 0; i < CONFIG_PROVIDERS_MAX + more; i++)
            buf_addf(&text, "[provider p%d]\ndialect = predict\n", i);
        write_text(f, "veod.conf", buf_text(&text));
        buf_free(&text);
        if (more) {
            assert_refused(f, NULL, "more than 32 providers");
        } else {
            load(f, NULL, &config);
            assert_int_equal(config.provider_count, CONFIG_PROVIDERS_MAX);
            config_free(&config);
        }
    }
    buf_init(&text, 1000);
    buf_add_text(&text, "[provider p]\ndialect = predict\nmodels = ");
    for (int i = 0; i <= CONFIG_GLOBS_MAX; i++)
        buf_add_text(&text, i ? ",x" : "x");
    write_text(f, "veod.conf", buf_text(&text));
    assert_refused(f, NULL, "1 to 64 patterns");
    buf_free(&text);
}

/* What is printed, read as a file, prints the same: for the defaults and for odd values. */
static void test_what_is_printed_can_be_read(void **state)
{
    const struct files *f = *state;
    static const char *const texts[] = {
        "",
        "[daemon]\nsocket_mode = 0007\nadmin_group = staff\nsocket_group = 12\nlog_level = debug\n"
        "[limits]\nclient_output = 65537\nresult_bytes = 3G\nreply_bytes = 1025K\n"
        "deadline = 25h\nclient_stall = 90s\n"
        "[poll]\nmin = 1234ms\nmax = 1.5s\n[retry]\nconnect_for = 3d\nbase_delay = 61s\n"
        "[provider a.b-c_d]\ndialect = predict\nbase_url = https://h/x=y:z;q\n"
        "credential_file = /k e y\nmodels = a b,c\n[provider z]\ndialect = interactions\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct config config;
        write_text(f, "veod.conf", texts[i]);
        load(f, NULL, &config);
        char *first = printed(&config);
        int64_t times[] = {config.deadline, config.poll_min, config.poll_max, config.client_stall};
        config_free(&config);
        write_text(f, "veod.conf", first);
        load(f, NULL, &config);
        char *second = printed(&config);
        assert_string_equal(second, first);
        int64_t same[] = {config.deadline, config.poll_min, config.poll_max, config.client_stall};
        assert_memory_equal(times, same, sizeof(times));
        config_free(&config);
        free(first);
        free(second);
    }
}

static void test_how_values_are_printed(void **state)
{
    const struct files *f = *state;
    char *overrides[] = {"limits.deadline=24h", "poll.min=1500ms", "limits.client_output=1536K",
                         NULL};
    static const char *const lines[] = {"\ndeadline = 1d\n",         "\nmin = 1500ms\n",
                                        "\nclient_output = 1536K\n", "\nsocket_mode = 0660\n",
                                        "\n# admin_group = \n",      "\n[provider gemini]\n",
                                        "\njobs = 100000\n",         "\nresult_bytes = 4G\n"};
    struct config config;
    write_text(f, "veod.conf", "");
    load(f, overrides, &config);
    char *text = printed(&config);
    assert_memory_equal(text, "[daemon]\n", 9);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (!strstr(text, lines[i]))
            fail_msg("lacks \"%s\"", lines[i]);
    free(text);
    config_free(&config);
    config_free(&config);
}

/* ---- models ---- */

static void test_models_are_built_in(void **state)
{
    struct files *f = *state;
    struct config config;
    write_text(f, "veod.conf", "");
    load(f, NULL, &config);
    static const char *const known[] = {"gemini-omni-1.1-flash",
                                        "gemini-omni-1.2-flash",
                                        "gemini-omni-flash-preview",
                                        "veo-3.1-generate-001",
                                        "veo-3.1-fast-generate-001",
                                        "veo-3.1-lite-generate-001",
                                        "gemini/veo-3.1-lite-generate-preview",
                                        "veo-3.0-generate-preview",
                                        "veo-3.0-fast-generate-preview",
                                        "veo-2.0-generate-001"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (!model_table_find(config.models, known[i]))
            fail_msg("%s is not known", known[i]);
    assert_null(model_table_find(config.models, "veo-9"));
    assert_int_equal(model_table_find(config.models, "veo-3.0-generate-preview")->state,
                     MODEL_SHUT_DOWN);
    for (size_t i = 0; i < model_table_count(config.models); i++) {
        const struct model *model = model_table_at(config.models, i);
        assert_true(model->is_shipped && model->state != MODEL_UNKNOWN && model->prices.count);
        assert_true(model->state != MODEL_SHUT_DOWN || (model->since && model->replaced_by));
    }
    config_free(&config);
}

static void test_sections_of_models(void **state)
{
    struct files *f = *state;
    struct config config;
    char *overrides[] = {"model veo-3.1-generate-001.prices=720p:0.55", NULL};
    write_text(f, "veod.conf",
               "[model veo-3.1-generate-001]\nprices = *:9\nnote = ours\n"
               "[model veo-3.1-*]\nsamples = 1\n[model acme-*]\nrule = when seed need image\n");
    write_text(f, "veod.conf.d/a.conf", "[model acme-*]\nrule = when image need seed\n");
    load(f, overrides, &config);
    assert_int_equal(model_table_find(config.models, "veo-3.1-generate-001")->samples, 1);
    assert_int_equal(model_table_find(config.models, "acme-1")->rule_count, 2);
    size_t i = 0;
    while (strcmp(model_table_at(config.models, i)->glob, "veo-3.1-generate-001") != 0)
        i++;
    const struct model *model = model_table_at(config.models, i);
    assert_int_equal(model->prices.rows[0].amount, 550000);
    assert_string_equal(model->note, "ours");
    assert_int_equal(model->samples, 4); /* as shipped */
    config_free(&config);
    write_text(f, "veod.conf", "[model x]\n\nsamples = many\n");
    assert_refused(f, NULL, "veod.conf:3: [model x] samples must be a number from 1 to 100");
    write_text(f, "veod.conf", "[model ]\nsamples = 1\n");
    assert_refused(f, NULL, "veod.conf:2: ");
}

/* ---- reading anew ---- */

static int reload(const struct files *f, struct config *config, const char *text, char **changed,
                  struct error *error)
{
    struct config anew;
    struct buf names;
    buf_init(&names, 10000);
    write_text(f, "veod.conf", text);
    load(f, NULL, &anew);
    int status = config_reload(config, &anew, &names, error);
    config_free(&anew);
    *changed = buf_steal(&names);
    return status;
}

static void test_what_can_change(void **state)
{
    struct files *f = *state;
    struct config config;
    struct error error = {0};
    char *changed;
    write_text(f, "veod.conf", "[provider a]\ndialect = predict\n");
    load(f, NULL, &config);
    assert_int_equal(reload(f, &config,
                            "[provider a]\ndialect = predict\nweight = 5\n[limits]\njobs = 9\n"
                            "[retry]\non_uncertain = retry\n[model x]\nsamples = 3\n",
                            &changed, &error),
                     0);
    assert_string_equal(changed, "limits.jobs,retry.on_uncertain,provider a.weight,model");
    free(changed);
    assert_int_equal(config.jobs, 9);
    assert_string_equal(config.on_uncertain, "retry");
    assert_int_equal(config.providers[0].weight, 5);
    assert_int_equal(model_table_find(config.models, "x")->samples, 3);
    config_free(&config);
}

static void test_what_needs_a_restart(void **state)
{
    static const struct {
        const char *text, *names;
    } rows[] = {
        {"[provider a]\ndialect = predict\n[limits]\njobs = 9\n[daemon]\nadmin_group = x\n",
         "daemon.admin_group"},
        {"[provider a]\ndialect = interactions\n", "provider a.dialect"},
        {"[provider b]\ndialect = predict\n", "provider a,provider b"},
        {"[provider a]\ndialect = predict\n[provider b]\ndialect = predict\n", "provider b"},
        {"[provider a]\ndialect = predict\nmodels = x\n[http]\ncalls = 2\n",
         "http.calls,provider a.models"},
    };
    struct files *f = *state;
    struct config config;
    write_text(f, "veod.conf", "[provider a]\ndialect = predict\n");
    load(f, NULL, &config);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error error = {0};
        char *changed, *expected = mem_format("a restart is needed for %s", rows[i].names);
        assert_int_equal(reload(f, &config, rows[i].text, &changed, &error), -1);
        assert_int_equal(error.code, ERROR_CONFLICT);
        if (!strstr(error.message, expected))
            fail_msg("\"%s\" lacks \"%s\"", error.message, expected);
        assert_int_equal(config.jobs, 100000);
        free(changed);
        free(expected);
    }
    config_free(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_directories_of_a_unit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_missing_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_later_ones_win, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_parts_that_cannot_be_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_how_lines_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_structure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_overrides, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_providers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_defaults_of_the_dialects, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_auth, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_printed_can_be_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_how_values_are_printed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_models_are_built_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sections_of_models, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_can_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_needs_a_restart, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
