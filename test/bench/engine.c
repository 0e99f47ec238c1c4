/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine.h"

#define INDEX_COUNT	    65536
#define TCP_IDLE_SECONDS    900
#define UDP_IDLE_SECONDS    60
#define FRAGMENT_TIMEOUT_NS UINT64_C(2000000000)

int engine_open(struct engine *engine, struct port *port, uint32_t capacity)
{
	int error;

	*engine = (struct engine){ .now_ns = UINT64_C(1000000000) };
	error = memory_map(connection_table_size(capacity), &engine->connection_memory);
	if (error == 0)
		error = memory_map(fragment_table_size(FRAGMENT_MIN_CAPACITY),
				   &engine->fragment_memory);
	if (error == 0)
		error = memory_map_lazy(INDEX_COUNT * sizeof(struct traffic_counter),
					&engine->vip_memory);
	if (error == 0)
		error = memory_map_lazy(INDEX_COUNT * sizeof(struct traffic_counter),
					&engine->backend_memory);
	if (error != 0)
		return error;
	connection_table_initialise(&engine->connections, engine->connection_memory.base, capacity);
	fragment_table_initialise(&engine->fragments, engine->fragment_memory.base,
				  FRAGMENT_MIN_CAPACITY, FRAGMENT_MOST_HELD, FRAGMENT_TIMEOUT_NS);
	engine->pipeline = (struct pipeline){
		.port = port,
		.connections = &engine->connections,
		.fragments = &engine->fragments,
		.counters = &engine->counters,
		.vips = engine->vip_memory.base,
		.backends = engine->backend_memory.base,
	};
	return 0;
}

void engine_close(struct engine *engine)
{
	memory_unmap(&engine->backend_memory);
	memory_unmap(&engine->vip_memory);
	memory_unmap(&engine->fragment_memory);
	memory_unmap(&engine->connection_memory);
}

uint64_t engine_run(struct engine *engine, const struct forwarding *forwarding, uint64_t packets)
{
	uint64_t done = 0;
	uint32_t count;

	while (done < packets) {
		count = pipeline_run(&engine->pipeline, forwarding, engine->now_ns);
		if (count == 0)
			break;
		engine->now_ns += (uint64_t)count * ENGINE_PACKET_NS;
		done += count;
	}
	return done;
}

uint64_t engine_run_empty(struct port *port, uint64_t packets)
{
	struct frame frames[PORT_BATCH];
	uint64_t done = 0;

	while (done < packets) {
		uint32_t count = port->operations->receive(port, frames, PORT_BATCH);

		if (count == 0)
			break;
		done += port->operations->send(port, frames, count);
	}
	return done;
}

void engine_read(const struct engine *engine, struct engine_report *report)
{
	*report = (struct engine_report){
		.counters = engine->counters,
		.tracked = engine->connections.count,
		.evictions = engine->connections.evictions,
		.untracked = engine->connections.untracked,
	};
}
