/* veoctl's commands, from one table: dispatch, --help and usage read it. */
#ifndef VEO_CTL_COMMANDS_H
#define VEO_CTL_COMMANDS_H

#include "proto/ctl/args.h"
#include "proto/ctl/ctl.h"

struct ctl_command {
    const char *name;
    const char *syntax; /* after the name, as typed */
    const char *summary;
    const struct option_spec *options; /* NULL: only the common ones */
    int (*run)(struct ctl *ctl, struct args *args);
    const char *more; /* for --help; may be NULL */
};

/* NULL if there is none of that name. */
const struct ctl_command *commands_find(const char *name);

/* The one that was probably meant; NULL if none is near. */
const struct ctl_command *commands_nearest(const char *name);

void commands_print_help(void);
void commands_print_help_of(const struct ctl_command *command);

/* The handlers. They return the exit status. */
int cmd_generate(struct ctl *ctl, struct args *args);
int cmd_batch(struct ctl *ctl, struct args *args);
int cmd_put(struct ctl *ctl, struct args *args);
int cmd_status(struct ctl *ctl, struct args *args);
int cmd_list(struct ctl *ctl, struct args *args);
int cmd_wait(struct ctl *ctl, struct args *args);
int cmd_watch(struct ctl *ctl, struct args *args);
int cmd_get(struct ctl *ctl, struct args *args);
int cmd_cancel(struct ctl *ctl, struct args *args);
int cmd_retry(struct ctl *ctl, struct args *args);
int cmd_hold(struct ctl *ctl, struct args *args);
int cmd_release(struct ctl *ctl, struct args *args);
int cmd_forget(struct ctl *ctl, struct args *args);
int cmd_why(struct ctl *ctl, struct args *args);
int cmd_ask(struct ctl *ctl, struct args *args);
int cmd_models(struct ctl *ctl, struct args *args);
int cmd_cost(struct ctl *ctl, struct args *args);
int cmd_stats(struct ctl *ctl, struct args *args);
int cmd_metrics(struct ctl *ctl, struct args *args);
int cmd_ping(struct ctl *ctl, struct args *args);
int cmd_hello(struct ctl *ctl, struct args *args);
int cmd_reload(struct ctl *ctl, struct args *args);
int cmd_raw(struct ctl *ctl, struct args *args);
int cmd_mcp(struct ctl *ctl, struct args *args);
int cmd_help(struct ctl *ctl, struct args *args);

#endif
