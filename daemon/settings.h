/* What the modules are told of the configuration: at the start, and when it was read anew. All
 * strings are borrowed from it. */
#ifndef VEO_SETTINGS_H
#define VEO_SETTINGS_H

#include "daemon/agent/agent.h"
#include "daemon/config.h"
#include "daemon/engine/engine.h"
#include "daemon/io/blob.h"
#include "daemon/io/client.h"
#include "daemon/io/log.h"
#include "daemon/io/token.h"

/* Fresh memory; without their tokens. */
struct engine_provider *settings_providers(const struct config *config);
/* Gives the providers their limits as well. */
struct engine_config settings_engine(const struct config *config, struct engine_provider *providers,
                                     const char *blob_directory);
struct clients_config settings_clients(const struct config *config);
struct blobs_config settings_blobs(const struct config *config, const char *blob_directory);
/* `system_prompt`: its text, borrowed as well; NULL for the shipped one. */
struct agent_config settings_agent(const struct config *config, const char *system_prompt);
/* The text of the file that [agent] system_prompt names, in fresh memory; NULL if it names none. -1
 * with `error`: the file, and why it can't be that. */
int settings_system_prompt(const struct config *config, char **ret, struct error *error);
enum token_kind settings_token_kind(const struct config_provider *provider);
/* `secret` is borrowed as well. */
struct token_config settings_token(const struct config *config, size_t provider,
                                   const char *secret);
enum log_level settings_log_level(const struct config *config);
/* How many bytes may wait for one client. */
size_t settings_output_max(const struct config *config);

#endif
