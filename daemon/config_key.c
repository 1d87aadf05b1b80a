#include "daemon/config_key.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/mem.h"
#include "proto/units.h"

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
static const struct key rows[] = {
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
    {"agent", "base_url", KEY_TEXT, AT(agent_base_url), "https://generativelanguage.googleapis.com/v1beta/openai", 0, 0, NULL},
    {"agent", "model", KEY_TEXT, AT(agent_model), "gemini-flash-latest", 0, 0, NULL},
    {"agent", "credential", KEY_TEXT, AT(agent_credential), "gemini-api-key", 0, 0, NULL},
    {"agent", "credential_file", KEY_TEXT, AT(agent_credential_file), NULL, 0, 0, NULL},
    {"agent", "system_prompt", KEY_TEXT, AT(agent_system_prompt), NULL, 0, 0, NULL},
    {"agent", "temperature", KEY_TEXT, AT(agent_temperature), "0.7", 0, 0, NULL},
    {"agent", "temperature_models", KEY_TEXT, AT(agent_temperature_models),
     "gemini-1.* gemini-2.* gemini-3-* gemini-3.1-* gemini-3.5-* gpt-4* claude-*", 0, 0, NULL},
    {"agent", "max_tokens", KEY_NUMBER, AT(agent_max_tokens), "1000", 0, 10000000, NULL},
    {"agent", "rounds", KEY_NUMBER, AT(agent_rounds), "12", 1, 1000, NULL},
    {"agent", "tokens", KEY_NUMBER, AT(agent_tokens), "200000", 1, 1000000000, NULL},
    {"agent", "time", KEY_DURATION, AT(agent_time), "30m", SECOND, 24 * HOUR, NULL},
    {"agent", "max_usd", KEY_DOLLARS, AT(agent_max_usd), "10", 0, MILLION_USD, NULL},
    {"agent", "video_wait", KEY_DURATION, AT(agent_video_wait), "6m", 0, 24 * HOUR, NULL},
    {"agent", "calls", KEY_NUMBER, AT(agent_calls), "64", 1, 1000, NULL},
    {"agent", "conversations", KEY_NUMBER, AT(agent_conversations), "1000", 1, 100000, NULL},
    {"agent", "session_age", KEY_DURATION, AT(agent_session_age), "7d", SECOND, 366 * 24 * HOUR, NULL},
    {"agent", "session_bytes", KEY_SIZE, AT(agent_session_bytes), "4M", 64 * KIB, 64 * MIB, NULL},
};

static const struct key provider_rows[] = {
    {"provider", "dialect", KEY_TEXT, IN_PROVIDER(dialect), NULL, 0, 0, NULL},
    {"provider", "base_url", KEY_TEXT, IN_PROVIDER(base_url), NULL, 0, 0, NULL},
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

const struct key_table config_keys = {rows, sizeof(rows) / sizeof(rows[0])};
const struct key_table config_provider_keys = {provider_rows,
                                               sizeof(provider_rows) / sizeof(provider_rows[0])};

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
    for (const char *at = choices; at && length && !strchr(value, ' ') && (at = strstr(at, value));
         at++)
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

int config_key_set(const struct key *key, void *base, const char *value, struct error *error)
{
    char expected[160];
    void *member = (char *)base + key->offset;
    if (config_key_is_text(key))
        return set_text(key, member, value, error);
    int64_t number;
    if (parse_number(key, value, &number) == 0 && number >= key->min && number <= key->max) {
        *(int64_t *)member = number;
        return 0;
    }
    describe_range(key, expected, sizeof(expected));
    return refuse(key, value, expected, error);
}

int config_keys_set_defaults(const struct key_table *table, void *base, struct error *error)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].type == KEY_DOLLARS)
            *(int64_t *)(void *)((char *)base + table->rows[i].offset) = -1;
        if (table->rows[i].fallback &&
            config_key_set(&table->rows[i], base, table->rows[i].fallback, error) < 0)
            return -1;
    }
    return 0;
}

bool config_key_is_text(const struct key *key)
{
    return key->type == KEY_TEXT || key->type == KEY_CHOICE;
}

void config_keys_free(const struct key_table *table, void *base)
{
    for (size_t i = 0; i < table->count; i++)
        if (config_key_is_text(&table->rows[i]))
            free(*(char **)(void *)((char *)base + table->rows[i].offset));
}

bool config_key_is_same(const struct key *key, const void *a, const void *b)
{
    const void *one = (const char *)a + key->offset, *other = (const char *)b + key->offset;
    if (!config_key_is_text(key))
        return *(const int64_t *)one == *(const int64_t *)other;
    const char *text = *(char *const *)one, *other_text = *(char *const *)other;
    return text && other_text ? strcmp(text, other_text) == 0 : text == other_text;
}

void config_key_swap(const struct key *key, void *to, void *from)
{
    void *one = (char *)to + key->offset, *other = (char *)from + key->offset;
    if (config_key_is_text(key)) {
        char *text = *(char **)one;
        *(char **)one = *(char **)other;
        *(char **)other = text;
    } else {
        int64_t number = *(int64_t *)one;
        *(int64_t *)one = *(int64_t *)other;
        *(int64_t *)other = number;
    }
}

/* ---- printing ---- */

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
    if (config_key_is_text(key)) {
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

void config_keys_print(const struct key_table *table, const void *base, FILE *to)
{
    const char *section = "provider";
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->rows[i].section, section) != 0)
            fprintf(to, "%s[%s]\n", i ? "\n" : "", table->rows[i].section);
        section = table->rows[i].section;
        print_value(&table->rows[i], base, to);
    }
}
