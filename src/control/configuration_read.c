/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "configuration_internal.h"

enum {
	HASH_SEED,
	SOURCE_ADDRESS,
	INTERFACES,
	SLOW_PATH,
	CONNECTIONS,
	UMEM,
	METRICS,
	CONTROL,
	POOLS,
	VIPS,
	DECAPSULATION,
	ICMP,
	FRAGMENTS,
	PEERS,
	ANNOUNCE,
};

static const struct key keys[] = {
	[HASH_SEED] = { "hash_seed", KEY_STRING, false },
	[SOURCE_ADDRESS] = { "source_address", KEY_GROUP, false },
	[INTERFACES] = { "interfaces", KEY_LIST, false },
	[SLOW_PATH] = { "slow_path", KEY_STRING, false },
	[CONNECTIONS] = { "connections", KEY_GROUP, false },
	[UMEM] = { "umem", KEY_GROUP, false },
	[METRICS] = { "metrics", KEY_GROUP, false },
	[CONTROL] = { "control", KEY_STRING, false },
	[POOLS] = { "pools", KEY_LIST, false },
	[VIPS] = { "vips", KEY_LIST, false },
	[DECAPSULATION] = { "decapsulation", KEY_GROUP, false },
	[ICMP] = { "icmp", KEY_GROUP, false },
	[FRAGMENTS] = { "fragments", KEY_GROUP, false },
	[PEERS] = { "peers", KEY_LIST, false },
	[ANNOUNCE] = { "announce", KEY_GROUP, false },
};

static const struct position whole_file = { 0, 0 };

/* The value is a secret and stays out of the message. */
static void read_hash_seed(struct reader *reader, const struct value *value)
{
	const char *text;
	size_t length;

	if (!value->node)
		reader_warn(reader, whole_file,
			    "no hash_seed: 0 is used, and anyone can compute which backend a flow "
			    "goes to");
	if (!value_string(value, &text))
		return;
	length = strlen(text);
	if (length < 1 || length > 16 || strspn(text, "0123456789abcdefABCDEF") != length)
		reader_error(reader, value->node->value_position,
			     "\"hash_seed\" must be 1 to 16 hexadecimal digits");
	else
		reader->configuration->hash_seed = strtoull(text, NULL, 16);
}

/* No pools means no VIPs, too: one without its pool is an error. */
static void warn_if_empty(struct reader *reader, const struct value *vips)
{
	if (!vips->node)
		reader_warn(reader, whole_file, "no VIPs: there is nothing to balance");
	else if (vips->setting && vips->node->child_count == 0)
		reader_warn(reader, vips->node->value_position,
			    "no VIPs: there is nothing to balance");
}

static void read_root(struct reader *reader, const config_t *parsed)
{
	struct configuration *configuration = reader->configuration;
	struct value root = { .node = reader->tree->nodes, .setting = config_root_setting(parsed) };
	struct value values[COUNT_OF(keys)];
	uint32_t slow_path = SLOW_PATH_TAP;

	value_read_group(reader, &root, "the file", keys, COUNT_OF(keys), values);
	read_hash_seed(reader, &values[HASH_SEED]);
	configuration_read_source_address(reader, &values[SOURCE_ADDRESS]);
	configuration_read_decapsulation(reader, &values[DECAPSULATION]);
	configuration_read_interfaces(reader, &values[INTERFACES]);
	value_choice(reader, &values[SLOW_PATH], slow_path_names, COUNT_OF(slow_path_names),
		     &slow_path);
	configuration->slow_path = (enum slow_path)slow_path;
	configuration_read_connections(reader, &values[CONNECTIONS]);
	configuration_read_icmp(reader, &values[ICMP]);
	configuration_read_fragments(reader, &values[FRAGMENTS]);
	configuration_read_umem(reader, &values[UMEM]);
	configuration_read_metrics(reader, &values[METRICS]);
	if (value_path(reader, &values[CONTROL], sizeof(((struct sockaddr_un *)NULL)->sun_path),
		       &configuration->control))
		configuration->control_position = values[CONTROL].node->value_position;
	configuration_read_announce(reader, &values[ANNOUNCE]);
	configuration_read_pools(reader, &values[POOLS]);
	configuration_read_vips(reader, &values[VIPS], &values[POOLS]);
	warn_if_empty(reader, &values[VIPS]);
	configuration_resolve_health_checks(reader);
	configuration_read_peers(reader, &values[PEERS]);
	if (reader->status == 0 && reader->findings->error_count == 0)
		reader->status = configuration_check_own(configuration, reader->findings);
}

/* Reads what was opened into findings->text, which ends in a zero. Returns 0, -EFBIG or errno. */
static int read_text(int file, struct findings *findings, size_t *length)
{
	size_t capacity = 65536, used = 0;
	char *text = malloc(capacity + 1);

	if (!text)
		return -ENOMEM;
	for (;;) {
		ssize_t got;

		if (used == capacity) {
			char *larger;

			if (capacity > FILE_SIZE_MAX) {
				free(text);
				return -EFBIG;
			}
			capacity *= 2;
			larger = realloc(text, capacity + 1);
			if (!larger) {
				free(text);
				return -ENOMEM;
			}
			text = larger;
		}
		got = read(file, text + used, capacity - used);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int status = -errno;

			free(text);
			return status;
		}
		if (got == 0)
			break;
		used += (size_t)got;
	}
	if (used > FILE_SIZE_MAX) {
		free(text);
		return -EFBIG;
	}
	/* What some editors write in front; libconfig does not know it. */
	if (used >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		memmove(text, text + 3, used -= 3);
	text[used] = '\0';
	findings->text = text;
	*length = used;
	return 0;
}

/* Fills in findings->text. Returns 0; -EINVAL after adding what is wrong; -ENOMEM. */
static int load_file(const char *name, struct findings *findings, size_t *length)
{
	/* A pipe without a writer must not stop a reload. */
	int file = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat information;
	int status;

	if (file < 0 || fstat(file, &information) != 0)
		status = -errno;
	else if (!S_ISREG(information.st_mode))
		status = S_ISDIR(information.st_mode) ? -EISDIR : -ESPIPE;
	else
		status = read_text(file, findings, length);
	if (file >= 0)
		close(file);
	if (status == 0 || status == -ENOMEM)
		return status;
	if (status == -EFBIG)
		status = findings_add(findings, false, whole_file, "larger than %u MiB",
				      FILE_SIZE_MAX >> 20);
	else if (status == -ESPIPE)
		status = findings_add(findings, false, whole_file, "not a regular file");
	else
		status = findings_add(findings, false, whole_file, "cannot be read: %s",
				      strerror(-status));
	return status == 0 ? -EINVAL : status;
}

/* A zero byte would end the text for libconfig, and what follows would be ignored. */
static int refuse_zero_bytes(struct findings *findings, size_t length)
{
	struct position position = { 1, 1 };
	size_t first = strlen(findings->text);

	if (first == length)
		return 0;
	for (size_t i = 0; i < first; i++) {
		if (findings->text[i] == '\n')
			position = (struct position){ position.line + 1, 1 };
		else if (((unsigned char)findings->text[i] & 0xc0) != 0x80)
			position.column++;
	}
	for (size_t i = first; i < length; i++) {
		if (findings->text[i] == '\0')
			findings->text[i] = '?';
	}
	if (findings_add(findings, false, position, "zero byte: this is not a text file") != 0)
		return -ENOMEM;
	return -EINVAL;
}

/* Both trees are of one text: when they differ, ours misunderstood the file, and positions and
 * values would not belong together. */
static bool trees_match(const struct tree *tree, uint32_t index, const config_setting_t *setting)
{
	const struct node *node = &tree->nodes[index];
	unsigned int child = 0;

	if (node->is_bad || node->child_count == 0)
		return true;
	if (!config_setting_is_aggregate(setting) ||
	    (uint32_t)config_setting_length(setting) != node->child_count)
		return false;
	for (uint32_t i = node->first_child; i != 0; i = tree->nodes[i].next) {
		if (!trees_match(tree, i, config_setting_get_elem(setting, child++)))
			return false;
	}
	return true;
}

static int read_values(struct reader *reader, struct findings *findings)
{
	config_t parsed;
	int status;

	config_init(&parsed);
	if (!config_read_string(&parsed, reader->tree->copy)) {
		struct position position = { (uint32_t)config_error_line(&parsed), 0 };

		reader_error(reader, position, "%s", config_error_text(&parsed));
	} else if (!trees_match(reader->tree, 0, config_root_setting(&parsed))) {
		reader_error(reader, whole_file, "libconfig reads this file in another way");
	} else {
		read_root(reader, &parsed);
	}
	config_destroy(&parsed);
	status = reader->status;
	if (status == 0 && findings->error_count > 0)
		status = -EINVAL;
	return status;
}

int configuration_read(const char *file, struct configuration **configuration,
		       struct findings *findings)
{
	struct configuration *made = NULL;
	struct tree tree = { 0 };
	struct reader reader = { .findings = findings, .tree = &tree };
	size_t length = 0;
	int status = -ENOMEM;

	*findings = (struct findings){ .file = strdup(file) };
	if (!findings->file)
		return status;
	status = load_file(file, findings, &length);
	if (status == 0)
		status = refuse_zero_bytes(findings, length);
	if (status == 0)
		status = tree_build(findings->text, findings, &tree);
	if (status == 0 && tree.is_broken)
		status = -EINVAL;
	if (status != 0)
		goto out;
	made = calloc(1, sizeof(*made));
	if (!made) {
		status = -ENOMEM;
		goto out;
	}
	reader.configuration = made;
	reader.text = findings->text;
	status = read_values(&reader, findings);
out:
	tree_release(&tree);
	findings_sort(findings);
	if (status == 0)
		*configuration = made;
	else
		configuration_release(made);
	return status;
}

void configuration_release(struct configuration *configuration)
{
	if (!configuration)
		return;
	for (uint32_t i = 0; i < configuration->interface_count; i++)
		interface_configuration_release(&configuration->interfaces[i]);
	for (uint32_t i = 0; i < configuration->pool_count; i++) {
		struct pool_configuration *pool = &configuration->pools[i];

		for (uint32_t j = 0; j < pool->backend_count; j++)
			free(pool->backends[j].name);
		free(pool->backends);
		free(pool->contained);
		configuration_release_health_check(&pool->health_check);
		free(pool->name);
	}
	for (uint32_t i = 0; i < configuration->vip_count; i++)
		free(configuration->vips[i].name);
	free(configuration->decapsulation.sources);
	free(configuration->peers);
	free(configuration->interfaces);
	free(configuration->pools);
	free(configuration->vips);
	free(configuration->metrics.textfile);
	free(configuration->control);
	free(configuration);
}
