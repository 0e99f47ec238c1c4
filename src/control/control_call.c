/* SPDX-License-Identifier: BSD-2-Clause */
/* A request that is being answered: it outlives its client, who may go meanwhile. */
#include <errno.h>
#include <stdlib.h>

#include <fluxpin/log.h>

#include "configuration_internal.h"
#include "control_internal.h"

struct control_call {
	struct control_client *client; /* NULL: gone */
};

int control_call_open(struct control_client *client)
{
	struct control_call *call = malloc(sizeof(*call));

	if (call == NULL)
		return -ENOMEM;
	call->client = client;
	client->call = call;
	return 0;
}

void control_call_forget(struct control_client *client)
{
	if (client->call != NULL)
		client->call->client = NULL;
	client->call = NULL;
}

static void end_call(struct control_call *call, json_t *reply, bool is_ok)
{
	struct control_client *client = call->client;

	free(call);
	if (client == NULL) {
		json_decref(reply);
		return;
	}
	client->call = NULL;
	control_client_send(client, reply, is_ok);
}

void control_reply(struct control_call *call, json_t *reply)
{
	end_call(call, reply, true);
}

void control_fail(struct control_call *call, json_t *reply)
{
	end_call(call, reply, false);
}

void control_refuse(struct control_call *call, const char *format, ...)
{
	va_list arguments;
	json_t *reply;

	va_start(arguments, format);
	reply = control_make_error(format, arguments);
	va_end(arguments);
	end_call(call, reply, false);
}

void control_log(const struct control_call *call, const char *format, ...)
{
	va_list arguments;
	char *what;
	int length;

	va_start(arguments, format);
	length = vasprintf(&what, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	text_make_printable(what);
	log_info("control: %s, by process %d, user %u", what, (int)call->client->peer.pid,
		 (unsigned int)call->client->peer.uid);
	free(what);
}
