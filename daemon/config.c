#include "daemon/config.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include <ini.h>

#include "daemon/provider/provider.h"
#include "proto/limits.h"
#include "proto/mem.h"
#include "proto/units.h"

enum key_type {
    KEY_TEXT,
    KEY_NUMBER,
    KEY_DURATION, /* ms */
    KEY_SIZE,     /* bytes */
    KEY_MODE,     /* octal */
    KEY_CHOICE,   /* one of the words in `choices` */
};

struct key {
    const char *section;
    const char *name;
    enum key_type type;
    size_t offset;
    const char *fallback; /* NULL: unset */
    int64_t min, max;
    const char *choices;
};

#define AT(member)        offsetof(struct config, member)
#define IN_PROVIDER(name) offsetof(struct config_provider, name)
#define SECOND            1000LL
#define MINUTE            (60 * SECOND)
#define HOUR              (60 * MINUTE)
#define KIB               1024LL
#define MIB               (1024 * KIB)
#define GIB               (1024 * MIB)

/* clang-format off */
static const struct key keys[] = {
    {"daemon", "socket", KEY_TEXT, AT(socket), DEFAULT_SOCKET, 0, 0, NULL},
    {"daemon", "socket_mode", KEY_MODE, AT(socket_mode), "0660", 0, 0777, NULL},
    {"daemon", "socket_group", KEY_TEXT, AT(socket_group), NULL, 0, 0, NULL},
    {"daemon", "admin_group", KEY_TEXT, AT(admin_group), NULL, 0, 0, NULL},
    {"daemon", "state_directory", KEY_TEXT, AT(state_directory), "/var/lib/veod", 0, 0, NULL},
    {"daemon", "output_directory", KEY_TEXT, AT(output_directory), "/var/lib/veod/videos", 0, 0, NULL},
    {"daemon", "default_model", KEY_TEXT, AT(default_model), "gemini-omni-1.1-flash", 0, 0, NULL},
    {"daemon", "log_level", KEY_CHOICE, AT(log_level), "info", 0, 0, "error warning info debug"},
    {"limits", "in_flight", KEY_NUMBER, AT(in_flight), "1000", 1, 1000000, NULL},
    {"limits", "jobs", KEY_NUMBER, AT(jobs), "100000", 1, 10000000, NULL},
    {"limits", "clients", KEY_NUMBER, AT(clients), "4096", 1, 100000, NULL},
    {"limits", "client_commands", KEY_NUMBER, AT(client_commands), "256", 1, 100000, NULL},
    {"limits", "client_output", KEY_SIZE, AT(client_output), "1M", 64 * KIB, GIB, NULL},
    {"limits", "client_stall", KEY_DURATION, AT(client_stall), "5m", SECOND, 24 * HOUR, NULL},
    {"limits", "result_bytes", KEY_SIZE, AT(result_bytes), "4G", KIB, 1024 * GIB, NULL},
    {"limits", "reply_bytes", KEY_SIZE, AT(reply_bytes), "4M", 4 * KIB, GIB, NULL},
    {"limits", "deadline", KEY_DURATION, AT(deadline), "24h", MINUTE, 720 * HOUR, NULL},
    {"poll", "min", KEY_DURATION, AT(poll_min), "1s", 10, HOUR, NULL},
    {"poll", "max", KEY_DURATION, AT(poll_max), "30s", 10, HOUR, NULL},
    {"http", "calls", KEY_NUMBER, AT(calls), "64", 1, 1000, NULL},
    {"http", "transfers", KEY_NUMBER, AT(transfers), "16", 1, 1000, NULL},
    {"http", "connect_timeout", KEY_DURATION, AT(connect_timeout), "10s", 100, 10 * MINUTE, NULL},
    {"http", "stall_timeout", KEY_DURATION, AT(stall_timeout), "1m", 100, HOUR, NULL},
    {"http", "answer_timeout", KEY_DURATION, AT(answer_timeout), "2m", 100, HOUR, NULL},
    {"http", "ca_file", KEY_TEXT, AT(ca_file), NULL, 0, 0, NULL},
    {"retry", "max_attempts", KEY_NUMBER, AT(max_attempts), "3", 1, 100, NULL},
    {"retry", "base_delay", KEY_DURATION, AT(base_delay), "5s", 1, HOUR, NULL},
    {"retry", "max_delay", KEY_DURATION, AT(max_delay), "5m", 1, 24 * HOUR, NULL},
    {"retry", "connect_for", KEY_DURATION, AT(connect_for), "1h", 1, 720 * HOUR, NULL},
    {"retry", "on_uncertain", KEY_CHOICE, AT(on_uncertain), "hold", 0, 0, "hold retry"},
};

static const struct key provider_keys[] = {
    {"provider", "dialect", KEY_TEXT, IN_PROVIDER(dialect), NULL, 0, 0, NULL},
    {"provider", "base_url", KEY_TEXT, IN_PROVIDER(base_url), "https://generativelanguage.googleapis.com", 0, 0, NULL},
    {"provider", "api_version", KEY_TEXT, IN_PROVIDER(api_version), "v1beta", 0, 0, NULL},
    {"provider", "models", KEY_TEXT, IN_PROVIDER(models), NULL, 0, 0, NULL},
    {"provider", "credential", KEY_TEXT, IN_PROVIDER(credential), "gemini-api-key", 0, 0, NULL},
    {"provider", "credential_file", KEY_TEXT, IN_PROVIDER(credential_file), NULL, 0, 0, NULL},
};
/* clang-format on */

#define KEY_COUNT          (sizeof(keys) / sizeof(keys[0]))
#define PROVIDER_KEY_COUNT (sizeof(provider_keys) / sizeof(provider_keys[0]))

/* ---- one value ---- */

static int refuse(const struct key *key, const char *value, const char *expected,
                  struct error *error)
{
    return error_set(error, ERROR_INVALID_ARGUMENT, key->name, "[%s] %s must be %s, not \"%s\"",
                     key->section, key->name, expected, value);
}

static bool is_choice(const char *choices, const char *value)
{
    size_t length = strlen(value);
    for (const char *at = choices; length && (at = strstr(at, value)); at++)
        if ((at == choices || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

static int parse_number(const struct key *key, const char *value, int64_t *ret)
{
    char *end = NULL;
    uint64_t size;
    switch (key->type) {
    case KEY_DURATION:
        return units_parse_duration(value, ret);
    case KEY_SIZE:
        if (units_parse_size(value, &size) < 0 || size > INT64_MAX)
            return -1;
        *ret = (int64_t)size;
        return 0;
    default:
        errno = 0;
        *ret = strtoll(value, &end, key->type == KEY_MODE ? 8 : 10);
        return errno || end == value || *end ? -1 : 0;
    }
}

static void describe_range(const struct key *key, char *ret, size_t size)
{
    char low[UNITS_TEXT], high[UNITS_TEXT];
    switch (key->type) {
    case KEY_DURATION:
        units_format_duration(key->min, low);
        units_format_duration(key->max, high);
        snprintf(ret, size, "a duration from %s to %s such as 30s or 5m", low, high);
        break;
    case KEY_SIZE:
        units_format_size((uint64_t)key->min, low);
        units_format_size((uint64_t)key->max, high);
        snprintf(ret, size, "a size from %s to %s such as 64K or 1M", low, high);
        break;
    case KEY_MODE:
        snprintf(ret, size, "an octal mode such as 0660");
        break;
    default:
        snprintf(ret, size, "a number from %lld to %lld", (long long)key->min, (long long)key->max);
    }
}

static int set_value(const struct key *key, void *base, const char *value, struct error *error)
{
    char expected[160];
    void *member = (char *)base + key->offset;
    if (key->type == KEY_TEXT || key->type == KEY_CHOICE) {
        char **text = member;
        if (key->type == KEY_CHOICE && !is_choice(key->choices, value)) {
            snprintf(expected, sizeof(expected), "one of: %s", key->choices);
            return refuse(key, value, expected, error);
        }
        free(*text);
        *text = *value ? mem_strdup(value) : NULL;
        return 0;
    }
    int64_t number;
    if (parse_number(key, value, &number) == 0 && number >= key->min && number <= key->max) {
        *(int64_t *)member = number;
        return 0;
    }
    describe_range(key, expected, sizeof(expected));
    return refuse(key, value, expected, error);
}

static int set_defaults(const struct key *table, size_t count, void *base, struct error *error)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].fallback && set_value(&table[i], base, table[i].fallback, error) < 0)
            return -1;
    return 0;
}

/* ---- sections ---- */

static struct config_provider *find_or_add_provider(struct config *config, const char *name,
                                                    struct error *error)
{
    for (size_t i = 0; i < config->provider_count; i++)
        if (strcmp(config->providers[i].name, name) == 0)
            return &config->providers[i];
    if (config->provider_count == CONFIG_PROVIDERS_MAX) {
        error_set(error, ERROR_TOO_MANY, NULL, "more than %d providers", CONFIG_PROVIDERS_MAX);
        return NULL;
    }
    struct config_provider *provider = &config->providers[config->provider_count++];
    *provider = (struct config_provider){.name = mem_strdup(name)};
    (void)set_defaults(provider_keys, PROVIDER_KEY_COUNT, provider, error);
    return provider;
}

static int set_in(const struct key *table, size_t count, void *base, const char *section,
                  const char *name, const char *value, struct error *error)
{
    bool section_exists = false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(table[i].section, section) != 0)
            continue;
        section_exists = true;
        if (strcmp(table[i].name, name) == 0)
            return set_value(&table[i], base, value, error);
    }
    if (section_exists)
        return error_set(error, ERROR_INVALID_ARGUMENT, name, "unknown key \"%s\" in [%s]", name,
                         section);
    return error_set(error, ERROR_INVALID_ARGUMENT, section, "unknown section [%s]", section);
}

static int set_key(struct config *config, const char *section, const char *name, const char *value,
                   struct error *error)
{
    if (strncmp(section, "provider ", 9) != 0)
        return set_in(keys, KEY_COUNT, config, section, name, value, error);
    struct config_provider *provider = find_or_add_provider(config, section + 9, error);
    if (!provider)
        return -1;
    return set_in(provider_keys, PROVIDER_KEY_COUNT, provider, "provider", name, value, error);
}

/* ---- files ---- */

struct reading {
    struct config *config;
    struct error *error;
    bool failed; /* only the first error is told */
};

static int on_key(void *arg, const char *section, const char *name, const char *value)
{
    struct reading *reading = arg;
    if (reading->failed)
        return 1;
    if (set_key(reading->config, section, name, value, reading->error) == 0)
        return 1;
    reading->failed = true;
    return 0;
}

static int read_file(struct config *config, const char *path, bool may_be_missing,
                     struct error *error)
{
    struct reading reading = {.config = config, .error = error};
    errno = 0;
    FILE *file = fopen(path, "re");
    if (!file) {
        if (errno == ENOENT && may_be_missing)
            return 0;
        return error_set(error, ERROR_UNAVAILABLE, NULL, "%s: %s", path, strerror(errno));
    }
    int line = ini_parse_file(file, on_key, &reading);
    fclose(file);
    if (line == 0)
        return 0;
    struct error cause = *error;
    if (!reading.failed)
        error_set(&cause, ERROR_INVALID_ARGUMENT, NULL,
                  "expected [section], key = value or a comment");
    return error_set(error, cause.code, cause.field, "%s:%d: %s", path, line, cause.message);
}

static int read_directory(struct config *config, const char *path, struct error *error)
{
    char *pattern = mem_format("%s.d/*.conf", path);
    glob_t found = {0};
    int status = 0;
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && status == 0; i++)
            status = read_file(config, found.gl_pathv[i], false, error);
    globfree(&found);
    free(pattern);
    return status;
}

static int override(struct config *config, const char *text, struct error *error)
{
    char *copy = mem_strdup(text);
    char *equals = strchr(copy, '=');
    int status = -1;
    if (equals)
        *equals = '\0';
    char *dot = equals ? strrchr(copy, '.') : NULL;
    if (dot) {
        *dot = '\0';
        status = set_key(config, copy, dot + 1, equals + 1, error);
    } else {
        error_set(error, ERROR_INVALID_ARGUMENT, NULL, "-o takes section.key=value, not \"%s\"",
                  text);
    }
    free(copy);
    return status;
}

/* ---- the whole ---- */

static void split_globs(struct config_provider *provider)
{
    char *copy = mem_strdup(provider->models), *position = NULL;
    size_t count = 0;
    for (char *one = strtok_r(copy, " ,\t", &position); one && count < CONFIG_GLOBS_MAX;
         one = strtok_r(NULL, " ,\t", &position))
        provider->globs[count++] = mem_strdup(one);
    free(copy);
}

static int check_provider(struct config_provider *provider, struct error *error)
{
    const char *name = provider->name;
    if (!provider->dialect || !dialect_find(provider->dialect))
        return error_set(error, ERROR_INVALID_ARGUMENT, "dialect",
                         "[provider %s] dialect must be interactions or predict, not \"%s\"", name,
                         provider->dialect ? provider->dialect : "");
    if (!provider->base_url || strncmp(provider->base_url, "http", 4) != 0)
        return error_set(error, ERROR_INVALID_ARGUMENT, "base_url",
                         "[provider %s] base_url must be an http or https address, not \"%s\"",
                         name, provider->base_url ? provider->base_url : "");
    size_t length = strlen(provider->base_url);
    while (length > 0 && provider->base_url[length - 1] == '/')
        provider->base_url[--length] = '\0';
    if (!provider->models)
        provider->models =
            mem_strdup(strcmp(provider->dialect, "predict") == 0 ? "veo-*" : "gemini-omni-*");
    split_globs(provider);
    return 0;
}

static int check(struct config *config, struct error *error)
{
    if (config->poll_min > config->poll_max)
        return error_set(error, ERROR_INVALID_ARGUMENT, "min",
                         "[poll] min must not be above [poll] max");
    if (config->base_delay > config->max_delay)
        return error_set(error, ERROR_INVALID_ARGUMENT, "base_delay",
                         "[retry] base_delay must not be above [retry] max_delay");
    if (config->provider_count == 0) {
        struct config_provider *provider = find_or_add_provider(config, "gemini", error);
        provider->dialect = mem_strdup("interactions");
        config->provider_is_default = true;
    }
    for (size_t i = 0; i < config->provider_count; i++)
        if (check_provider(&config->providers[i], error) < 0)
            return -1;
    return 0;
}

int config_load(const char *path, bool may_be_missing, char *const *overrides, struct config *ret,
                struct error *error)
{
    *ret = (struct config){0};
    int status = set_defaults(keys, KEY_COUNT, ret, error);
    if (status == 0)
        status = read_file(ret, path, may_be_missing, error);
    if (status == 0)
        status = read_directory(ret, path, error);
    for (; status == 0 && overrides && *overrides; overrides++)
        status = override(ret, *overrides, error);
    if (status == 0)
        status = check(ret, error);
    if (status < 0)
        config_free(ret);
    return status;
}

static void free_texts(const struct key *table, size_t count, void *base)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].type == KEY_TEXT || table[i].type == KEY_CHOICE)
            free(*(char **)(void *)((char *)base + table[i].offset));
}

void config_free(struct config *config)
{
    free_texts(keys, KEY_COUNT, config);
    for (size_t i = 0; i < config->provider_count; i++) {
        struct config_provider *provider = &config->providers[i];
        free_texts(provider_keys, PROVIDER_KEY_COUNT, provider);
        for (char **glob_text = provider->globs; *glob_text; glob_text++)
            free(*glob_text);
        free(provider->name);
    }
    *config = (struct config){0};
}

static void print_value(const struct key *key, const void *base, FILE *to)
{
    const void *member = (const char *)base + key->offset;
    if (key->type == KEY_TEXT || key->type == KEY_CHOICE) {
        const char *text = *(char *const *)member;
        fprintf(to, "%s%s = %s\n", text ? "" : "# ", key->name, text ? text : "");
        return;
    }
    int64_t number = *(const int64_t *)member;
    char text[UNITS_TEXT];
    if (key->type == KEY_DURATION) {
        units_format_duration(number, text);
        fprintf(to, "%s = %s\n", key->name, text);
    } else {
        fprintf(to, key->type == KEY_MODE ? "%s = %04llo\n" : "%s = %lld\n", key->name,
                (long long)number);
    }
}

static void print_table(const struct key *table, size_t count, const void *base, FILE *to)
{
    const char *section = "provider";
    for (size_t i = 0; i < count; i++) {
        if (strcmp(table[i].section, section) != 0)
            fprintf(to, "%s[%s]\n", i ? "\n" : "", table[i].section);
        section = table[i].section;
        print_value(&table[i], base, to);
    }
}

void config_print(const struct config *config, FILE *to)
{
    print_table(keys, KEY_COUNT, config, to);
    for (size_t i = 0; i < config->provider_count; i++) {
        fprintf(to, "\n[provider %s]\n", config->providers[i].name);
        print_table(provider_keys, PROVIDER_KEY_COUNT, &config->providers[i], to);
    }
}
