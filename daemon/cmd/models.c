/* MODELS: what can be asked for, as the table knows it. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cmd/call.h"
#include "proto/mem.h"

static void write_words(struct jsonw *w, const char *name, const struct model_words *words)
{
    if (!words->given)
        return;
    jsonw_name(w, name);
    jsonw_array(w);
    for (size_t i = 0; i < words->count; i++)
        jsonw_string(w, words->words[i]);
    jsonw_array_end(w);
}

static void write_durations(struct jsonw *w, const struct model_words *durations)
{
    const char *dash = durations->count == 1 ? strchr(durations->words[0], '-') : NULL;
    if (!durations->given)
        return;
    jsonw_name(w, "durations");
    if (dash) {
        jsonw_object(w);
        jsonw_member_double(w, "min", strtod(durations->words[0], NULL));
        jsonw_member_double(w, "max", strtod(dash + 1, NULL));
        jsonw_object_end(w);
        return;
    }
    jsonw_array(w);
    for (size_t i = 0; i < durations->count; i++)
        jsonw_double(w, strtod(durations->words[i], NULL));
    jsonw_array_end(w);
}

static void write_prices(struct jsonw *w, const char *name, const struct model_prices *prices)
{
    if (prices->count == 0)
        return;
    jsonw_name(w, name);
    jsonw_object(w);
    for (size_t i = 0; i < prices->count; i++)
        jsonw_member_usd(w, prices->rows[i].name, prices->rows[i].amount);
    jsonw_object_end(w);
}

static void write_rules(struct jsonw *w, const struct model *model)
{
    if (model->rule_count == 0)
        return;
    jsonw_name(w, "rules");
    jsonw_array(w);
    for (size_t i = 0; i < model->rule_count; i++)
        jsonw_string(w, model->rules[i]->text);
    jsonw_array_end(w);
}

static void write_known(struct jsonw *w, const struct model *model)
{
    jsonw_member_string(w, "state", model_state_name(model->state));
    jsonw_member_string(w, "since", model->since);
    jsonw_member_string(w, "replaced_by", model->replaced_by);
    jsonw_member_string(w, "note", model->note);
    write_words(w, "aspect_ratios", &model->aspect_ratios);
    write_words(w, "resolutions", &model->resolutions);
    write_durations(w, &model->durations);
    if (model->samples)
        jsonw_member_int(w, "samples", model->samples);
    write_words(w, "inputs", &model->inputs);
    if (model->reference_images)
        jsonw_member_int(w, "reference_images", model->reference_images);
    write_words(w, "accepts", &model->accepts);
    jsonw_member_string(w, "default_resolution", model->default_resolution);
    if (model->default_duration)
        jsonw_member_double(w, "default_duration_seconds", strtod(model->default_duration, NULL));
    write_rules(w, model);
    write_prices(w, "price_per_second", &model->prices);
    write_prices(w, "silent_price_per_second", &model->silent_prices);
    write_prices(w, "price_per_million_tokens", &model->token_prices);
}

static void send_model(struct call *call, const struct engine_provider *provider, const char *glob,
                       const struct model *model)
{
    const struct learn *learn = engine_learn(call->commands->engine);
    const char *name = call->commands->config.default_model;
    struct jsonw *w = call_reply(call, REPLY_ITEM);
    jsonw_member_string(w, "model", glob);
    jsonw_member_string(w, "provider", provider->provider.name);
    jsonw_member_string(w, "dialect", provider->provider.dialect->name);
    if (fnmatch(glob, name, 0) == 0)
        jsonw_member_string(w, "default_model", name);
    if (model)
        write_known(w, model);
    if (learn_median(learn, glob) > 0)
        jsonw_member_int(w, "median_ms", learn_median(learn, glob));
    call_send(call);
}

/* The name by which a glob takes the model, in fresh memory; NULL: it doesn't. A glob such as
 * "gemini/veo-*" takes it behind a route. */
static char *name_by(const char *glob, const char *model)
{
    const char *slash = strrchr(glob, '/');
    if (fnmatch(glob, model, 0) == 0)
        return mem_strdup(model);
    if (!slash || fnmatch(slash + 1, model, 0) != 0)
        return NULL;
    return mem_format("%.*s%s", (int)(slash + 1 - glob), glob, model);
}

/* Of several globs the first that takes it tells its name. */
static char *name_at(const struct provider *provider, const char *model, size_t *ret_glob)
{
    char *name = NULL;
    for (*ret_glob = 0; !name && provider->models[*ret_glob]; ++*ret_glob)
        name = name_by(provider->models[*ret_glob], model);
    return name;
}

static bool is_plain(const char *glob)
{
    return strpbrk(glob, "*?[") == NULL;
}

/* One by one, and of a plain name only what is found first is true. */
static size_t send_known(struct call *call, const struct engine_provider *provider,
                         const struct model_table *table, bool *taken)
{
    size_t count = 0, glob;
    for (size_t i = 0; i < model_table_count(table); i++) {
        const struct model *model = model_table_at(table, i);
        char *name = name_at(&provider->provider, model->glob, &glob);
        if (name) {
            const struct model *found = is_plain(name) ? model_table_find(table, name) : model;
            taken[glob - 1] = true;
            if (found == model || !is_plain(name)) {
                send_model(call, provider, name, model);
                count++;
            }
        }
        free(name);
    }
    return count;
}

static size_t send_unknown(struct call *call, const struct engine_provider *provider,
                           const bool *taken)
{
    const struct engine *engine = call->commands->engine;
    size_t count = 0;
    for (size_t i = 0; provider->provider.models[i]; i++) {
        const char *glob = provider->provider.models[i];
        if (taken[i])
            continue;
        send_model(call, provider, glob, is_plain(glob) ? engine_model(engine, glob) : NULL);
        count++;
    }
    return count;
}

static size_t count_globs(const struct provider *provider)
{
    size_t count = 0;
    while (provider->models[count])
        count++;
    return count;
}

void cmd_models(struct call *call)
{
    static const char *const members[] = {NULL};
    const struct engine_config *config = engine_config(call->commands->engine);
    size_t count = 0;
    if (call_check_members(call, members) < 0)
        return;
    for (size_t i = 0; i < config->provider_count; i++) {
        const struct engine_provider *provider = &config->providers[i];
        bool *taken = mem_alloc(count_globs(&provider->provider) + 1);
        count += send_known(call, provider, config->models, taken);
        count += send_unknown(call, provider, taken);
        free(taken);
    }
    jsonw_member_uint(call_reply(call, REPLY_OK), "count", count);
    call_send(call);
    call_end(call);
}
