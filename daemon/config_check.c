#include "daemon/config_check.h"

#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "proto/mem.h"

bool config_is_http(const char *url)
{
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
}

/* It would be in every dry run that shows an address, or in the way of a path. */
static bool has_more_than_a_path(const char *url)
{
    const char *host = strstr(url, "://") + 3;
    return memchr(host, '@', strcspn(host, "/")) || strpbrk(url, "?#");
}

int config_check_base_url(const char *section, char *url, struct error *error)
{
    if (!config_is_http(url))
        return error_set(error, ERROR_INVALID_ARGUMENT, "base_url",
                         "[%s] base_url must begin with http:// or https://, not \"%s\"", section,
                         url);
    if (has_more_than_a_path(url))
        return error_set(error, ERROR_INVALID_ARGUMENT, "base_url",
                         "[%s] base_url must have no user, password, query or fragment in it; "
                         "what is secret goes into credential_file",
                         section);
    size_t length = strlen(url);
    while (length > 0 && url[length - 1] == '/')
        url[--length] = '\0';
    return 0;
}

int config_split_globs(const char *section, const char *key, const char *list,
                       char *ret[CONFIG_GLOBS_MAX + 1], struct error *error)
{
    char *copy = mem_strdup(list), *position = NULL;
    char *one = strtok_r(copy, " ,\t", &position);
    for (size_t i = 0; one && i < CONFIG_GLOBS_MAX; i++, one = strtok_r(NULL, " ,\t", &position))
        ret[i] = mem_strdup(one);
    int status = 0;
    if (one || !ret[0])
        status = error_set(error, ERROR_INVALID_ARGUMENT, key,
                           "[%s] %s must have 1 to %d patterns, not \"%s\"", section, key,
                           CONFIG_GLOBS_MAX, list);
    free(copy);
    return status;
}

void config_free_globs(char **globs)
{
    for (; *globs; globs++) {
        free(*globs);
        *globs = NULL;
    }
}

/* As JSON has it: it is sent as it is written here. */
static bool is_number(const char *text, double min, double max)
{
    double number;
    struct json *doc = json_parse(text, strlen(text), (struct json_limits){0}, NULL);
    bool fits = doc && json_double(json_root(doc), min, max, &number) == 0;
    json_free(doc);
    return fits;
}

int config_check_agent(struct config *config, struct error *error)
{
    if (!is_number(config->agent_temperature, 0, 2))
        return error_set(error, ERROR_INVALID_ARGUMENT, "temperature",
                         "[agent] temperature must be a number from 0 to 2 such as 0.7, not \"%s\"",
                         config->agent_temperature);
    if (config_check_base_url("agent", config->agent_base_url, error) < 0)
        return -1;
    return config_split_globs("agent", "temperature_models", config->agent_temperature_models,
                              config->agent_globs, error);
}
