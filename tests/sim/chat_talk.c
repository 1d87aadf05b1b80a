#include "tests/sim/chat_talk.h"

#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "tests/sim/chat_sign.h"

static void forget_results(struct chat_talk *talk)
{
    for (size_t i = 0; i < talk->result_count; i++) {
        free(talk->results[i].name);
        free(talk->results[i].text);
    }
    free(talk->results);
    talk->results = NULL;
    talk->result_count = 0;
}

void chat_talk_init(struct chat_talk *talk)
{
    *talk = (struct chat_talk){.may_call = true};
}

void chat_talk_free(struct chat_talk *talk)
{
    forget_results(talk);
    for (size_t i = 0; i < talk->tool_count; i++) {
        free(talk->tools[i]);
    }
    free(talk->tools);
    free(talk->model);
    free(talk->user);
    json_free(talk->script);
    free(talk->script_text);
}

void chat_talk_user(struct chat_talk *talk, char *text)
{
    forget_results(talk);
    free(talk->user);
    talk->user = text;
    talk->step = 0;
}

void chat_talk_model(struct chat_talk *talk)
{
    talk->step++;
}

void chat_talk_result(struct chat_talk *talk, const char *name, char *text)
{
    if (talk->result_count == CHAT_RESULTS_MAX) {
        free(text);
        return;
    }
    talk->results = mem_resize(talk->results, talk->result_count + 1, sizeof(*talk->results));
    talk->results[talk->result_count++] =
        (struct chat_result){.name = mem_strdup(name), .text = text};
}

bool chat_talk_offer(struct chat_talk *talk, char *name)
{
    if (talk->tool_count == CHAT_TOOLS_MAX) {
        free(name);
        return false;
    }
    talk->tools = mem_resize(talk->tools, talk->tool_count + 1, sizeof(*talk->tools));
    talk->tools[talk->tool_count++] = name;
    return true;
}

void chat_talk_measure(struct chat_talk *talk, struct json_value messages)
{
    const char *raw = json_raw(messages, &talk->bytes);
    chat_digest(raw ? raw : "", talk->bytes, talk->digest);
}

const char *chat_talk_tool(const struct chat_talk *talk, const char *name)
{
    for (size_t i = 0; i < talk->tool_count; i++) {
        const char *offered = talk->tools[i];
        size_t longer = strlen(offered) - strlen(name);
        if (strcmp(offered, name) == 0 ||
            (strlen(offered) > strlen(name) && offered[longer - 1] == '_' &&
             strcmp(offered + longer, name) == 0)) {
            return offered;
        }
    }
    return NULL;
}
