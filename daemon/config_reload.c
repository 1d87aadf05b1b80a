/* What of a configuration can change while veod runs. */
#include <stdlib.h>
#include <string.h>

#include "daemon/config_key.h"

#define NAMES_MAX 200 /* bytes of the keys' names in a refusal */

struct comparing {
    struct buf *changed; /* what may change */
    struct buf fixed;    /* what may not */
};

/* `words` ends with NULL. */
static bool is_among(const char *const *words, const char *word)
{
    while (*words && strcmp(*words, word) != 0)
        words++;
    return *words != NULL;
}

static bool may_change(const struct key *key)
{
    static const char *const sections[] = {"budget", "limits", "poll", "retry", "output", NULL};
    static const char *const of_provider[] = {"weight", "rate_per_minute", "in_flight",
                                              "daily_budget_usd", NULL};
    static const char *const not_of_agent[] = {"base_url", "credential", "credential_file", "calls",
                                               NULL};
    if (strcmp(key->section, "provider") == 0)
        return is_among(of_provider, key->name);
    if (strcmp(key->section, "agent") == 0)
        return !is_among(not_of_agent, key->name);
    return is_among(sections, key->section);
}

static void note(struct buf *names, const char *section, const char *of, const char *key)
{
    buf_addf(names, "%s%s%s%s.%s", names->length ? "," : "", section, of ? " " : "", of ? of : "",
             key);
}

static void compare_keys(struct comparing *comparing, const struct key_table *table, const char *of,
                         const void *a, const void *b)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct key *key = &table->rows[i];
        if (!config_key_is_same(key, a, b))
            note(may_change(key) ? comparing->changed : &comparing->fixed, key->section, of,
                 key->name);
    }
}

static char *print_models(const struct config *config)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (stream) {
        model_table_print(config->models, stream);
        fclose(stream);
    }
    return text;
}

static void compare_models(struct comparing *comparing, const struct config *a,
                           const struct config *b)
{
    char *one = print_models(a), *other = print_models(b);
    if (!one || !other || strcmp(one, other) != 0)
        buf_addf(comparing->changed, "%smodel", comparing->changed->length ? "," : "");
    free(one);
    free(other);
}

static bool has_provider(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->provider_count; i++)
        if (strcmp(config->providers[i].name, name) == 0)
            return true;
    return false;
}

/* Those that only one of them has. */
static void note_strangers(struct buf *names, const struct config *a, const struct config *b)
{
    for (size_t i = 0; i < a->provider_count; i++)
        if (!has_provider(b, a->providers[i].name))
            buf_addf(names, "%sprovider %s", names->length ? "," : "", a->providers[i].name);
}

/* False if they haven't the same, in the same order. */
static bool compare_names(struct comparing *comparing, const struct config *a,
                          const struct config *b)
{
    size_t before = comparing->fixed.length, i = 0;
    note_strangers(&comparing->fixed, a, b);
    note_strangers(&comparing->fixed, b, a);
    if (comparing->fixed.length > before)
        return false;
    while (i < a->provider_count && strcmp(a->providers[i].name, b->providers[i].name) == 0)
        i++;
    if (i < a->provider_count)
        buf_addf(&comparing->fixed, "%sthe order of providers", before ? "," : "");
    return i == a->provider_count;
}

static void compare(struct comparing *comparing, const struct config *a, const struct config *b)
{
    compare_keys(comparing, &config_keys, NULL, a, b);
    bool same_providers = compare_names(comparing, a, b);
    for (size_t i = 0; same_providers && i < a->provider_count; i++)
        compare_keys(comparing, &config_provider_keys, a->providers[i].name, &a->providers[i],
                     &b->providers[i]);
    compare_models(comparing, a, b);
}

static void swap_keys(const struct key_table *table, void *to, void *from)
{
    for (size_t i = 0; i < table->count; i++)
        if (may_change(&table->rows[i]))
            config_key_swap(&table->rows[i], to, from);
}

static void swap_globs(struct config *to, struct config *from)
{
    for (size_t i = 0; i < CONFIG_GLOBS_MAX; i++) {
        char *glob_text = to->agent_globs[i];
        to->agent_globs[i] = from->agent_globs[i];
        from->agent_globs[i] = glob_text;
    }
}

int config_reload(struct config *config, struct config *anew, struct buf *changed,
                  struct error *error)
{
    struct comparing comparing = {.changed = changed};
    buf_init(&comparing.fixed, NAMES_MAX);
    compare(&comparing, config, anew);
    if (comparing.fixed.length > 0) {
        error_set(error, ERROR_CONFLICT, NULL, "nothing was applied: a restart is needed for %s%s",
                  buf_text(&comparing.fixed), comparing.fixed.failed ? " …" : "");
        buf_free(&comparing.fixed);
        return -1;
    }
    buf_free(&comparing.fixed);
    swap_keys(&config_keys, config, anew);
    swap_globs(config, anew);
    for (size_t i = 0; i < config->provider_count; i++)
        swap_keys(&config_provider_keys, &config->providers[i], &anew->providers[i]);
    struct model_table *models = config->models;
    config->models = anew->models;
    anew->models = models;
    return 0;
}
