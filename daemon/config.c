#include "daemon/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config_file.h"
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
    KEY_DOLLARS,  /* micro-dollars; unset is -1 */
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

#define PROVIDER_NAME_MAX 40 /* so that its section's name fits in CONFIG_SECTION_MAX */

#define AT(member)        offsetof(struct config, member)
#define IN_PROVIDER(name) offsetof(struct config_provider, name)
#define SECOND            1000LL
#define MINUTE            (60 * SECOND)
#define HOUR              (60 * MINUTE)
#define KIB               1024LL
#define MIB               (1024 * KIB)
#define GIB               (1024 * MIB)
#define MILLION_USD       1000000000000LL

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
    {"limits", "blob_bytes", KEY_SIZE, AT(blob_bytes), "100M", KIB, GIB, NULL},
    {"limits", "blobs_bytes", KEY_SIZE, AT(blobs_bytes), "10G", MIB, 1024 * GIB, NULL},
    {"limits", "blob_age", KEY_DURATION, AT(blob_age), "1d", MINUTE, 720 * HOUR, NULL},
    {"output", "max_bytes", KEY_SIZE, AT(output_bytes), "0", 0, 1024 * 1024 * GIB, NULL},
    {"output", "max_age", KEY_DURATION, AT(output_age), "0s", 0, 10 * 366 * 24 * HOUR, NULL},
    {"budget", "daily_usd", KEY_DOLLARS, AT(daily_budget), NULL, 0, MILLION_USD, NULL},
    {"budget", "owner_daily_usd", KEY_DOLLARS, AT(owner_daily_budget), NULL, 0, MILLION_USD, NULL},
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
    {"provider", "api_version", KEY_TEXT, IN_PROVIDER(api_version), NULL, 0, 0, NULL},
    {"provider", "models", KEY_TEXT, IN_PROVIDER(models), NULL, 0, 0, NULL},
    {"provider", "credential", KEY_TEXT, IN_PROVIDER(credential), "gemini-api-key", 0, 0, NULL},
    {"provider", "credential_file", KEY_TEXT, IN_PROVIDER(credential_file), NULL, 0, 0, NULL},
    {"provider", "auth", KEY_CHOICE, IN_PROVIDER(auth), "key", 0, 0, "key service-account metadata command"},
    {"provider", "token_command", KEY_TEXT, IN_PROVIDER(token_command), NULL, 0, 0, NULL},
    {"provider", "project", KEY_TEXT, IN_PROVIDER(project), NULL, 0, 0, NULL},
    {"provider", "location", KEY_TEXT, IN_PROVIDER(location), NULL, 0, 0, NULL},
    {"provider", "storage_uri", KEY_TEXT, IN_PROVIDER(storage_uri), NULL, 0, 0, NULL},
    {"provider", "storage_url", KEY_TEXT, IN_PROVIDER(storage_url), "https://storage.googleapis.com", 0, 0, NULL},
    {"provider", "body", KEY_CHOICE, IN_PROVIDER(body), "google", 0, 0, "google seed"},
    {"provider", "weight", KEY_NUMBER, IN_PROVIDER(weight), "1", 0, 1000, NULL},
    {"provider", "rate_per_minute", KEY_NUMBER, IN_PROVIDER(rate_per_minute), "0", 0, 1000000, NULL},
    {"provider", "in_flight", KEY_NUMBER, IN_PROVIDER(in_flight), "0", 0, 1000000, NULL},
    {"provider", "daily_budget_usd", KEY_DOLLARS, IN_PROVIDER(daily_budget), NULL, 0, MILLION_USD, NULL},
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
    for (const char *at = choices; length && !strchr(value, ' ') && (at = strstr(at, value)); at++)
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
    case KEY_DOLLARS:
        return units_parse_dollars(value, ret);
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
    case KEY_DOLLARS:
        snprintf(ret, size, "dollars from 0 to %lld such as 25 or 0.50",
                 (long long)key->max / 1000000);
        break;
    case KEY_MODE:
        snprintf(ret, size, "an octal mode such as 0660");
        break;
    default:
        snprintf(ret, size, "a number from %lld to %lld", (long long)key->min, (long long)key->max);
    }
}

/* What a line of a file can say: no comment behind it, no spaces around it. */
static bool is_plain_text(const char *value)
{
    bool after_blank = true;
    for (const char *c = value; *c; c++) {
        bool blank = *c == ' ' || *c == '\t';
        if ((iscntrl((unsigned char)*c) && !blank) || (after_blank && strchr(";#", *c)) ||
            (blank && (c == value || c[1] == '\0')))
            return false;
        after_blank = blank;
    }
    return true;
}

static int set_text(const struct key *key, char **text, const char *value, struct error *error)
{
    char expected[160];
    snprintf(expected, sizeof(expected), "one of: %s", key->choices ? key->choices : "");
    if (key->type == KEY_CHOICE && !is_choice(key->choices, value))
        return refuse(key, value, expected, error);
    if (!*value && key->fallback)
        return refuse(key, value, "set to something", error);
    if (!is_plain_text(value))
        return refuse(key, value, "text without control bytes, and comments on lines of their own",
                      error);
    free(*text);
    *text = *value ? mem_strdup(value) : NULL;
    return 0;
}

static int set_value(const struct key *key, void *base, const char *value, struct error *error)
{
    char expected[160];
    void *member = (char *)base + key->offset;
    if (key->type == KEY_TEXT || key->type == KEY_CHOICE)
        return set_text(key, member, value, error);
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
    for (size_t i = 0; i < count; i++) {
        if (table[i].type == KEY_DOLLARS)
            *(int64_t *)(void *)((char *)base + table[i].offset) = -1;
        if (table[i].fallback && set_value(&table[i], base, table[i].fallback, error) < 0)
            return -1;
    }
    return 0;
}

/* ---- sections ---- */

static bool is_provider_name(const char *name)
{
    size_t length = 0;
    while (isalnum((unsigned char)name[length]) || (name[length] && strchr("._-", name[length])))
        length++;
    return length > 0 && length <= PROVIDER_NAME_MAX && !name[length];
}

static struct config_provider *find_or_add_provider(struct config *config, const char *name,
                                                    struct error *error)
{
    for (size_t i = 0; i < config->provider_count; i++)
        if (strcmp(config->providers[i].name, name) == 0)
            return &config->providers[i];
    if (!is_provider_name(name)) {
        error_set(error, ERROR_INVALID_ARGUMENT, NULL,
                  "a provider's name must be 1 to %d letters, digits and \"._-\", not \"%s\"",
                  PROVIDER_NAME_MAX, name);
        return NULL;
    }
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

/* ---- from outside ---- */

static int on_key(void *arg, const char *section, const char *name, const char *value,
                  struct error *error)
{
    return set_key(arg, section, name, value, error);
}

static int override(struct config *config, const char *text, struct error *error)
{
    char *copy = mem_strdup(text);
    char *equals = strchr(copy, '=');
    int status = -1;
    if (equals)
        *equals = '\0';
    char *dot = equals ? strrchr(copy, '.') : NULL;
    struct error cause = {0};
    if (dot) {
        *dot = '\0';
        status = set_key(config, copy, dot + 1, equals + 1, &cause);
    } else {
        error_set(&cause, ERROR_INVALID_ARGUMENT, NULL, "expected section.key=value, not \"%s\"",
                  text);
    }
    if (status < 0)
        error_set(error, cause.code, cause.field, "-o: %s", cause.message);
    free(copy);
    return status;
}

/* ---- the whole ---- */

static int split_globs(struct config_provider *provider, struct error *error)
{
    char *copy = mem_strdup(provider->models), *position = NULL;
    char *one = strtok_r(copy, " ,\t", &position);
    for (size_t i = 0; one && i < CONFIG_GLOBS_MAX; i++, one = strtok_r(NULL, " ,\t", &position))
        provider->globs[i] = mem_strdup(one);
    int status = 0;
    if (one || !provider->globs[0])
        status = error_set(error, ERROR_INVALID_ARGUMENT, "models",
                           "[provider %s] models must have 1 to %d patterns, not \"%s\"",
                           provider->name, CONFIG_GLOBS_MAX, provider->models);
    free(copy);
    return status;
}

static bool is_http(const char *url)
{
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
}

static int check_provider(struct config_provider *provider, struct error *error)
{
    const char *name = provider->name;
    if (!provider->dialect || !dialect_find(provider->dialect))
        return error_set(error, ERROR_INVALID_ARGUMENT, "dialect",
                         "[provider %s] dialect must be interactions or predict, not \"%s\"", name,
                         provider->dialect ? provider->dialect : "");
    bool is_vertex = strcmp(provider->dialect, "vertex") == 0;
    if (!provider->api_version)
        provider->api_version = mem_strdup(is_vertex ? "v1" : "v1beta");
    if (!is_http(provider->base_url))
        return error_set(error, ERROR_INVALID_ARGUMENT, "base_url",
                         "[provider %s] base_url must begin with http:// or https://, not \"%s\"",
                         name, provider->base_url);
    size_t length = strlen(provider->base_url);
    while (length > 0 && provider->base_url[length - 1] == '/')
        provider->base_url[--length] = '\0';
    if (!provider->models)
        provider->models =
            mem_strdup(strcmp(provider->dialect, "predict") == 0 ? "veo-*" : "gemini-omni-*");
    return split_globs(provider, error);
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
        status = config_file_read(path, may_be_missing, on_key, ret, error);
    if (status == 0)
        status = config_parts_read(path, on_key, ret, error);
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

struct unit {
    const char *suffix;
    int64_t size;
};

/* In the greatest unit that leaves no rest, so that it can be read back. */
static void print_exact(int64_t number, const struct unit *units, FILE *to)
{
    while (units->size > 1 && (number == 0 || number % units->size != 0))
        units++;
    fprintf(to, "%lld%s\n", (long long)(number / units->size), units->suffix);
}

static void print_value(const struct key *key, const void *base, FILE *to)
{
    static const struct unit times[] = {
        {"d", 24 * HOUR}, {"h", HOUR}, {"m", MINUTE}, {"s", SECOND}, {"ms", 1}};
    static const struct unit sizes[] = {{"G", GIB}, {"M", MIB}, {"K", KIB}, {"", 1}};
    const void *member = (const char *)base + key->offset;
    if (key->type == KEY_TEXT || key->type == KEY_CHOICE) {
        const char *text = *(char *const *)member;
        fprintf(to, "%s%s = %s\n", text ? "" : "# ", key->name, text ? text : "");
        return;
    }
    int64_t number = *(const int64_t *)member;
    if (key->type == KEY_DOLLARS) {
        if (number < 0)
            fprintf(to, "# %s = \n", key->name);
        else
            fprintf(to, "%s = %lld.%06lld\n", key->name, (long long)(number / 1000000),
                    (long long)(number % 1000000));
        return;
    }
    fprintf(to, "%s = ", key->name);
    if (key->type == KEY_DURATION)
        print_exact(number, times, to);
    else if (key->type == KEY_SIZE)
        print_exact(number, sizes, to);
    else
        fprintf(to, key->type == KEY_MODE ? "%04llo\n" : "%lld\n", (long long)number);
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
