/* What the modules are told of the configuration: at the start, and when it was read anew. All
 * strings are borrowed from it. */
#ifndef VEO_SETTINGS_H
#define VEO_SETTINGS_H

#include "daemon/config.h"
#include "daemon/engine/engine.h"
#include "daemon/io/blob.h"
#include "daemon/io/client.h"

/* Fresh memory; without their tokens. */
struct engine_provider *settings_providers(const struct config *config);
/* Gives the providers their limits as well. */
struct engine_config settings_engine(const struct config *config, struct engine_provider *providers,
                                     const char *blob_directory);
struct clients_config settings_clients(const struct config *config);
struct blobs_config settings_blobs(const struct config *config, const char *blob_directory);
/* How many bytes may wait for one client. */
size_t settings_output_max(const struct config *config);

#endif
