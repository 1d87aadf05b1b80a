#include "daemon/config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config_check.h"
#include "daemon/config_file.h"
#include "daemon/config_key.h"
#include "daemon/models_conf.h"
#include "daemon/provider/provider.h"
#include "proto/mem.h"

#define PROVIDER_NAME_MAX 40 /* so that its section's name fits in CONFIG_SECTION_MAX */
#define PROVIDER_SECTION  (PROVIDER_NAME_MAX + sizeof("provider "))

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
    (void)config_keys_set_defaults(&config_provider_keys, provider, error);
    return provider;
}

static int set_in(const struct key_table *table, void *base, const char *section, const char *name,
                  const char *value, struct error *error)
{
    bool section_exists = false;
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->rows[i].section, section) != 0)
            continue;
        section_exists = true;
        if (strcmp(table->rows[i].name, name) == 0)
            return config_key_set(&table->rows[i], base, value, error);
    }
    if (section_exists)
        return error_set(error, ERROR_INVALID_ARGUMENT, name, "unknown key \"%s\" in [%s]", name,
                         section);
    return error_set(error, ERROR_INVALID_ARGUMENT, section, "unknown section [%s]", section);
}

static int set_key(struct config *config, const char *section, const char *name, const char *value,
                   struct error *error)
{
    if (strncmp(section, "model ", 6) == 0)
        return model_table_set(config->models, false, section + 6, name, value, error);
    if (strncmp(section, "provider ", 9) != 0)
        return set_in(&config_keys, config, section, name, value, error);
    struct config_provider *provider = find_or_add_provider(config, section + 9, error);
    if (!provider)
        return -1;
    return set_in(&config_provider_keys, provider, "provider", name, value, error);
}

/* ---- from outside ---- */

static int on_key(void *arg, const char *section, const char *name, const char *value,
                  struct error *error)
{
    return set_key(arg, section, name, value, error);
}

static int on_shipped_key(void *arg, const char *section, const char *name, const char *value,
                          struct error *error)
{
    const struct config *config = arg;
    return model_table_set(config->models, true, section + strlen("model "), name, value, error);
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

static const char *section_of(const struct config_provider *provider, char ret[PROVIDER_SECTION])
{
    snprintf(ret, PROVIDER_SECTION, "provider %s", provider->name);
    return ret;
}

static int refuse_provider(const struct config_provider *provider, const char *key,
                           const char *expected, const char *value, struct error *error)
{
    return error_set(error, ERROR_INVALID_ARGUMENT, key, "[provider %s] %s must be %s, not \"%s\"",
                     provider->name, key, expected, value ? value : "");
}

static bool is_dialect(const struct config_provider *provider, const char *name)
{
    return strcmp(provider->dialect, name) == 0;
}

static void set_fallback(char **value, const char *fallback)
{
    if (!*value && fallback)
        *value = mem_strdup(fallback);
}

/* Where in Google's cloud: part of an address. */
static int check_cloud(struct config_provider *provider, struct error *error)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    if (is_dialect(provider, "vertex") && !provider->project)
        return refuse_provider(provider, "project", "the id of a Google Cloud project", "", error);
    if (is_dialect(provider, "vertex") && !provider->location)
        return refuse_provider(provider, "location", "a region such as us-central1", "", error);
    if (provider->project)
        set_fallback(&provider->location, "global"); /* Omni is nowhere else */
    const char *location = provider->location;
    if (location && (!*location || location[strspn(location, plain)]))
        return refuse_provider(provider, "location", "a region such as us-central1, or global",
                               location, error);
    if (provider->storage_uri && strncmp(provider->storage_uri, "gs://", 5) != 0)
        return refuse_provider(provider, "storage_uri", "an address in Cloud Storage, gs://…",
                               provider->storage_uri, error);
    return 0;
}

/* NULL: there is none to be guessed. */
static char *default_base_url(const struct config_provider *provider)
{
    if (is_dialect(provider, "videos"))
        return NULL;
    if (!is_dialect(provider, "vertex") && (is_dialect(provider, "predict") || !provider->project))
        return mem_strdup("https://generativelanguage.googleapis.com");
    if (strcmp(provider->location, "global") == 0)
        return mem_strdup("https://aiplatform.googleapis.com");
    return mem_format("https://%s-aiplatform.googleapis.com", provider->location);
}

static const char *default_version(const struct config_provider *provider)
{
    if (is_dialect(provider, "vertex"))
        return "v1";
    return is_dialect(provider, "interactions") && provider->project ? "v1beta1" : "v1beta";
}

static int check_base_url(struct config_provider *provider, struct error *error)
{
    if (!provider->base_url)
        provider->base_url = default_base_url(provider);
    if (!provider->base_url)
        return refuse_provider(provider, "base_url",
                               "the proxy's address without /v1, as http://localhost:4000", "",
                               error);
    char section[PROVIDER_SECTION];
    return config_check_base_url(section_of(provider, section), provider->base_url, error);
}

static bool is_auth(const struct config_provider *provider, const char *name)
{
    return strcmp(provider->auth, name) == 0;
}

/* A key of AI Studio is no token, and its file is no service account's: where nothing was named,
 * another name is looked for. */
static int check_credential(struct config_provider *provider, struct error *error)
{
    bool is_named = strcmp(provider->credential, "gemini-api-key") != 0;
    bool wants_token = is_auth(provider, "key") && is_dialect(provider, "vertex");
    if (wants_token && !is_named && !provider->credential_file)
        return refuse_provider(provider, "auth",
                               "service-account, metadata or command (or key with a credential "
                               "that is an access token)",
                               provider->auth, error);
    if (!is_named && (wants_token || is_auth(provider, "service-account"))) {
        free(provider->credential);
        provider->credential = mem_strdup(wants_token ? "access-token" : "service-account-key");
    }
    return 0;
}

static int check_auth(struct config_provider *provider, struct error *error)
{
    bool by_command = is_auth(provider, "command");
    if (by_command && (!provider->token_command || !*provider->token_command))
        return refuse_provider(provider, "token_command", "a program that prints an access token",
                               provider->token_command, error);
    if (!by_command && provider->token_command)
        return refuse_provider(provider, "auth", "command where there is a token_command",
                               provider->auth, error);
    if (!config_is_http(provider->storage_url))
        return refuse_provider(provider, "storage_url", "an address of http:// or https://",
                               provider->storage_url, error);
    return check_credential(provider, error);
}

static int check_provider(struct config_provider *provider, struct error *error)
{
    if (!provider->dialect || !dialect_find(provider->dialect))
        return refuse_provider(provider, "dialect", "interactions, predict, vertex or videos",
                               provider->dialect, error);
    if (check_cloud(provider, error) < 0 || check_base_url(provider, error) < 0 ||
        check_auth(provider, error) < 0)
        return -1;
    set_fallback(&provider->api_version, default_version(provider));
    set_fallback(&provider->models,
                 is_dialect(provider, "interactions") ? "gemini-omni-*" : "veo-*");
    char section[PROVIDER_SECTION];
    return config_split_globs(section_of(provider, section), "models", provider->models,
                              provider->globs, error);
}

/* The directory that the unit has, of which systemd makes a variable, the first if several; NULL:
 * none. */
static char *unit_directory(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value == '/' ? mem_strndup(value, strcspn(value, ":")) : NULL;
}

/* `name` in that directory goes before the default. */
static void place(char **value, const char *variable, const char *name)
{
    char *directory = unit_directory(variable);
    if (directory) {
        free(*value);
        *value = mem_format("%s%s", directory, name);
    }
    free(directory);
}

static void place_all(struct config *config)
{
    place(&config->socket, "RUNTIME_DIRECTORY", "/veod.sock");
    place(&config->state_directory, "STATE_DIRECTORY", "");
    free(config->output_directory);
    config->output_directory = NULL; /* in the state directory, wherever that will be */
}

static int check(struct config *config, struct error *error)
{
    if (!config->output_directory)
        config->output_directory = mem_format("%s/videos", config->state_directory);
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
    if (config_check_agent(config, error) < 0)
        return -1;
    return model_table_check(config->models, error);
}

char *config_default_path(void)
{
    char *path = mem_strdup(VEOD_CONFIG_FILE);
    place(&path, "CONFIGURATION_DIRECTORY", "/veod.conf");
    return path;
}

int config_load(const char *path, bool may_be_missing, char *const *overrides, struct config *ret,
                struct error *error)
{
    *ret = (struct config){0};
    int status = config_keys_set_defaults(&config_keys, ret, error);
    place_all(ret);
    ret->models = model_table_new();
    if (status == 0)
        status = config_text_read("models.conf", models_conf, sizeof(models_conf), on_shipped_key,
                                  ret, error);
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

void config_free(struct config *config)
{
    config_keys_free(&config_keys, config);
    config_free_globs(config->agent_globs);
    for (size_t i = 0; i < config->provider_count; i++) {
        struct config_provider *provider = &config->providers[i];
        config_keys_free(&config_provider_keys, provider);
        config_free_globs(provider->globs);
        free(provider->name);
    }
    model_table_free(config->models);
    *config = (struct config){0};
}

void config_print(const struct config *config, FILE *to)
{
    config_keys_print(&config_keys, config, to);
    for (size_t i = 0; i < config->provider_count; i++) {
        fprintf(to, "\n[provider %s]\n", config->providers[i].name);
        config_keys_print(&config_provider_keys, &config->providers[i], to);
    }
    model_table_print(config->models, to);
}
