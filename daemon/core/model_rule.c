/* A rule's words: "when FIELD[=A|B]… need FIELD[=A|B]… !FIELD…". */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/model_table.h"
#include "proto/mem.h"

static const char *const field_names[] = {
#define X(name, text) text,
    MODEL_FIELDS(X)
#undef X
};

const char *model_field_name(enum model_field field)
{
    return field_names[field];
}

enum model_field model_field_named(const char *name)
{
    int field = 0;
    while (field < MODEL_FIELD_COUNT && strcmp(field_names[field], name) != 0)
        field++;
    return (enum model_field)field;
}

void model_rule_free(struct model_rule *rule)
{
    for (size_t i = 0; i < MODEL_TERMS_MAX; i++) {
        free(rule->when[i].values);
        free(rule->need[i].values);
    }
    free(rule->text);
    free(rule);
}

static int parse_term(char *word, struct model_term *ret)
{
    bool absent = *word == '!';
    char *equals = strchr(word, '=');
    if (equals)
        *equals = '\0';
    enum model_field field = model_field_named(word + absent);
    if (field == MODEL_FIELD_COUNT || (equals && (absent || !equals[1])))
        return -1;
    ret->field = field;
    ret->absent = absent;
    ret->values = equals ? mem_strdup(equals + 1) : NULL;
    return 0;
}

static int parse_terms(struct model_rule *rule, char *text)
{
    char *position = NULL;
    struct model_term *terms = NULL;
    size_t *count = NULL;
    for (char *word = strtok_r(text, " \t", &position); word;
         word = strtok_r(NULL, " \t", &position)) {
        if (!terms && strcmp(word, "when") == 0) {
            terms = rule->when;
            count = &rule->when_count;
        } else if (terms == rule->when && terms && strcmp(word, "need") == 0) {
            terms = rule->need;
            count = &rule->need_count;
        } else if (!terms || *count == MODEL_TERMS_MAX || parse_term(word, &terms[*count]) < 0) {
            return -1;
        } else {
            ++*count;
        }
    }
    return rule->when_count && rule->need_count ? 0 : -1;
}

struct model_rule *model_rule_parse(const char *text)
{
    struct model_rule *rule = mem_alloc(sizeof(*rule));
    char *copy = mem_strdup(text);
    rule->text = mem_strdup(text);
    int status = parse_terms(rule, copy);
    free(copy);
    if (status == 0)
        return rule;
    model_rule_free(rule);
    return NULL;
}
