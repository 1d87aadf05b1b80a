/* ASK: the agent answers it. */
#include "daemon/cmd/call.h"

void cmd_ask(struct call *call)
{
    call->commands->config.ask(call->commands->config.ask_arg, call);
}
