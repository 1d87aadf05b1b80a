#include "daemon/io/fault.h"

#ifdef VEOD_FAULTS

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RULES_MAX 16

struct rule {
    char name[48];
    char action[16];
    long nth; /* 0: every pass */
    bool and_later;
    long passes;
};

static struct rule rules[RULES_MAX];
static size_t rule_count;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void read_rule(char *text)
{
    struct rule *rule = &rules[rule_count];
    char *action = strrchr(text, '=');
    if (!action || rule_count == RULES_MAX) {
        fprintf(stderr, "VEOD_FAULT: cannot read \"%s\"\n", text);
        abort();
    }
    *action++ = '\0';
    rule->nth = 1;
    char *count = strchr(text, '#');
    if (count) {
        *count++ = '\0';
        rule->nth = strcmp(count, "*") == 0 ? 0 : strtol(count, NULL, 10);
        rule->and_later = strchr(count, '+') != NULL;
    }
    snprintf(rule->name, sizeof(rule->name), "%s", text);
    snprintf(rule->action, sizeof(rule->action), "%s", action);
    rule_count++;
}

static void read_rules(void)
{
    const char *all = getenv("VEOD_FAULT");
    char *copy = all ? strdup(all) : NULL;
    char *position = NULL;
    for (char *one = copy ? strtok_r(copy, ",", &position) : NULL; one;
         one = strtok_r(NULL, ",", &position))
        read_rule(one);
    free(copy);
}

static void record(const char *name)
{
    const char *path = getenv("VEOD_FAULT_RECORD");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    dprintf(fd, "%s\n", name);
    close(fd);
}

static int perform(const struct rule *rule)
{
    static const struct {
        const char *name;
        int number;
    } errors[] = {
        {"ENOSPC", ENOSPC}, {"EIO", EIO},       {"EMFILE", EMFILE},
        {"EACCES", EACCES}, {"ENOMEM", ENOMEM}, {"EROFS", EROFS},
    };
    record(rule->name);
    if (strcmp(rule->action, "kill") == 0)
        raise(SIGKILL);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (strcmp(rule->action, errors[i].name) == 0)
            return -errors[i].number;
    fprintf(stderr, "VEOD_FAULT: unknown action \"%s\"\n", rule->action);
    abort();
}

static bool is_due(const struct rule *rule)
{
    return rule->nth == 0 || rule->passes == rule->nth ||
           (rule->and_later && rule->passes > rule->nth);
}

int fault_point(const char *name)
{
    int status = 0;
    pthread_once(&once, read_rules);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (strcmp(rule->name, name) != 0)
            continue;
        rule->passes++;
        if (status == 0 && is_due(rule))
            status = perform(rule);
    }
    pthread_mutex_unlock(&lock);
    return status;
}

#else

/* ISO C wants a translation unit to declare something. */
typedef int fault_points_are_off;

#endif
