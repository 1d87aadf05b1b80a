/* What no single key shows, for sections of all kinds. Only daemon/config*.c include this. */
#ifndef VEO_CONFIG_CHECK_H
#define VEO_CONFIG_CHECK_H

#include "daemon/config.h"

bool config_is_http(const char *url);

/* An address that paths are appended to; slashes at its end are cut off. `section` is for the
 * error. */
int config_check_base_url(const char *section, char *url, struct error *error);

/* Takes a list apart into fresh memory, NULL-terminated. */
int config_split_globs(const char *section, const char *key, const char *list,
                       char *ret[CONFIG_GLOBS_MAX + 1], struct error *error);
void config_free_globs(char **globs);

/* [agent] */
int config_check_agent(struct config *config, struct error *error);

#endif
