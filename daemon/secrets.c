#include "daemon/secrets.h"

#include "daemon/io/credential.h"
#include "daemon/settings.h"

static int load_provider(struct secrets *secrets, const struct config *config, size_t index,
                         struct error *error)
{
    const struct config_provider *from = &config->providers[index];
    char **secret = &secrets->providers[index];
    enum token_kind kind = settings_token_kind(from);
    if (kind == TOKEN_KEY)
        *secret = credential_load(from->credential, from->credential_file, error);
    else if (kind == TOKEN_SERVICE_ACCOUNT)
        *secret = credential_load_document(from->credential, from->credential_file, error);
    if (!*secret && (kind == TOKEN_KEY || kind == TOKEN_SERVICE_ACCOUNT))
        return -1;
    const struct token_config token = settings_token(config, index, *secret);
    return token_check(&token, error);
}

static void load_agent(struct secrets *secrets, const struct config *config)
{
    struct error cause;
    secrets->agent =
        credential_load(config->agent_credential, config->agent_credential_file, &cause);
    if (!secrets->agent)
        error_set(&secrets->agent_trouble, ERROR_UNAVAILABLE, NULL, "[agent] %s", cause.message);
}

int secrets_load(struct secrets *secrets, const struct config *config, struct error *error)
{
    for (size_t i = 0; i < config->provider_count; i++) {
        struct error cause;
        if (load_provider(secrets, config, i, &cause) < 0)
            return error_set(error, ERROR_UNAVAILABLE, NULL, "[provider %s] %s",
                             config->providers[i].name, cause.message);
    }
    load_agent(secrets, config);
    return 0;
}

void secrets_free(struct secrets *secrets)
{
    for (size_t i = 0; i < CONFIG_PROVIDERS_MAX; i++) {
        credential_free(secrets->providers[i]);
        secrets->providers[i] = NULL;
    }
    credential_free(secrets->agent);
    secrets->agent = NULL;
}
