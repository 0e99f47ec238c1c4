/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the configuration module share.
 *
 * A file is read in three passes. The lexer and the tree (configuration_lexer.c,
 * configuration_tree.c) go over the text first: they record where each name and value stands, and
 * refuse what libconfig 1.5 would misread without a word. What they refuse they report and blank
 * out in a copy of the text, so that the later passes still run and every error is listed.
 * libconfig then reads the values from the copy. Last, the readers (configuration_read.c and one
 * file per section) walk libconfig's tree and ours side by side and fill in the structures.
 */
#ifndef FLUXPIN_CONFIGURATION_INTERNAL_H
#define FLUXPIN_CONFIGURATION_INTERNAL_H

#include <libconfig.h>

#include <fluxpin/configuration.h>
#include <fluxpin/duration.h>
#include <fluxpin/maglev.h>

#define FILE_SIZE_MAX  (16u << 20)
#define NESTING_MAX    16      /* a valid file needs 5 */
#define SETTINGS_MAX   100     /* of one group: libconfig searches them one by one */
#define NODES_MAX      2000000 /* twice what 65535 backends and VIPs with every key take */
#define TABLE_SIZE_MAX MAGLEV_SIZE_MAX
#define CPU_NUMBER_MAX 8191 /* the kernel's largest NR_CPUS */

/* ---- findings.c ---- */

/* Replaces control characters and bytes that are no UTF-8 by "?", so that text from a file can do
 * nothing to a terminal and is valid in JSON. */
void text_make_printable(char *text);

void findings_sort(struct findings *findings);

/* ---- configuration_lexer.c ---- */

enum token_kind {
	TOKEN_END,
	TOKEN_NAME,
	TOKEN_STRING,
	TOKEN_INTEGER,
	TOKEN_FLOAT,
	TOKEN_BOOLEAN,
	TOKEN_PUNCTUATION, /* one of = : ; , ( ) [ ] { }; "symbol" says which */
};

struct token {
	enum token_kind kind;
	char symbol;
	bool is_bad; /* reported, and replaced by a value of the same kind in the copy */
	uint32_t start;
	uint32_t length;
	struct position position;
};

struct lexer {
	const char *text; /* the file, followed by a zero */
	char *copy;	  /* what libconfig is given; the same length */
	uint32_t length;
	uint32_t offset;
	struct position position;
	struct token token; /* the next one, not yet consumed */
	struct findings *findings;
	bool is_broken; /* a syntax error whose consequences nobody can tell */
	int status;	/* -ENOMEM once memory ran out */
};

void lexer_start(struct lexer *lexer, const char *text, uint32_t length, char *copy,
		 struct findings *findings);
void lexer_advance(struct lexer *lexer);
bool lexer_at(const struct lexer *lexer, char symbol);

/* Ends the text here: the rest cannot be understood, or not within the limits. */
void lexer_stop(struct lexer *lexer);
void lexer_error(struct lexer *lexer, struct position position, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Spaces over a part of the copy, line ends kept. */
void lexer_blank(struct lexer *lexer, uint32_t start, uint32_t end);

/* Writes `value` at the start of a part of the copy that is at least as long, spaces behind it. */
void lexer_replace(struct lexer *lexer, uint32_t start, uint32_t end, const char *value);

/* Moves on by a character, or up to an offset, and keeps the position. */
void lexer_step(struct lexer *lexer);
void lexer_step_to(struct lexer *lexer, uint32_t offset);

/* The byte that is so many bytes ahead: the zero behind the text is the last. */
static inline char lexer_peek(const struct lexer *lexer, uint32_t ahead)
{
	return lexer->text[lexer->offset + ahead];
}

static inline bool character_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool character_is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The token in words for a message: "the string", "\";\"", "the end of the file". */
const char *token_describe(const struct token *token);

/* ---- configuration_literals.c ---- */

/* Each reads the word at the offset, which begins as one of its kind, to its end. */
void lexer_read_string(struct lexer *lexer, struct token *token);
void lexer_read_number(struct lexer *lexer, struct token *token);

/* ---- configuration_nodes.c ---- */

enum node_kind {
	NODE_GROUP,
	NODE_LIST,
	NODE_ARRAY,
	NODE_STRING,
	NODE_INTEGER,
	NODE_FLOAT,
	NODE_BOOLEAN,
};

/* A setting or a list's element; the children are in the order of the file, as in libconfig. */
struct node {
	enum node_kind kind;
	bool is_bad; /* refused already: there is no value, and nothing more to say about it */
	uint32_t name_start;
	uint32_t name_length; /* 0: an element of a list */
	uint32_t value_start;
	uint32_t value_length;
	struct position name_position;
	struct position value_position;
	uint32_t child_count;
	uint32_t first_child; /* indexes into the tree's nodes; 0, the root, stands for none */
	uint32_t last_child;
	uint32_t next;
};

struct tree {
	struct node *nodes; /* the first is the root, a group */
	uint32_t count;
	uint32_t capacity;
	char *copy;
	bool is_broken;
};

/*
 * Adds a node at the end of the parent's children, or the root to an empty tree. Returns 0,
 * -EFBIG when the tree is full, or -ENOMEM; *index is where the node is.
 */
int tree_add_node(struct tree *tree, uint32_t parent, const struct node *node, uint32_t *index);

/* The group's setting of this name, or NULL; valid until a node is added. */
const struct node *tree_find_setting(const struct tree *tree, const char *text, uint32_t group,
				     const char *name, uint32_t name_length);
void tree_release(struct tree *tree);
const char *node_kind_name(enum node_kind kind);

/* ---- configuration_tree.c ---- */

/*
 * Builds the tree of a file. Errors become findings; is_broken says that they leave the rest
 * without meaning. Returns 0 or -ENOMEM; tree_release in both cases.
 */
int tree_build(const char *text, struct findings *findings, struct tree *tree);

/* ---- configuration_values.c ---- */

struct reader {
	struct configuration *configuration;
	struct findings *findings;
	const struct tree *tree;
	const char *text;
	int status; /* -ENOMEM once memory ran out */
};

/* What a key of a group must hold. */
enum key_kind {
	KEY_STRING,
	KEY_DURATION,
	KEY_INTEGER,
	KEY_BOOLEAN,
	KEY_GROUP,
	KEY_LIST,
};

struct key {
	const char *name;
	enum key_kind kind;
	bool is_required;
};

/* A setting as both trees have it. */
struct value {
	const char *key;	   /* the name, for messages */
	const struct node *node;   /* NULL: not in the file */
	config_setting_t *setting; /* NULL: not in the file, or refused already */
};

#define COUNT_OF(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

void reader_error(struct reader *reader, struct position position, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void reader_warn(struct reader *reader, struct position position, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Memory for the configuration: NULL also sets the reader's status. A count of 0 gives NULL. */
void *reader_allocate(struct reader *reader, uint32_t count, size_t size);
char *reader_copy(struct reader *reader, const char *text);

/*
 * Sorts a group's settings into values[], one for each key, and reports keys that are unknown or
 * missing and values of the wrong kind. `noun` is the group in messages: "a pool".
 */
void value_read_group(struct reader *reader, const struct value *group, const char *noun,
		      const struct key *keys, uint32_t key_count, struct value *values);

/* The setting of this name in a group, or NULL. */
const struct node *node_find(const struct reader *reader, const struct node *group,
			     const char *name);

/* An element of a list, the node of which is given; refused unless it is a group. */
struct value value_element(struct reader *reader, const struct value *list, const struct node *node,
			   uint32_t index, const char *noun);

/* The same for a list of strings. */
struct value value_string_element(struct reader *reader, const struct value *list,
				  const struct node *node, uint32_t index, const char *noun);

/*
 * Each of these returns true and writes the result when the setting is there and valid; otherwise
 * it reports what is wrong, if anything, and leaves the result as it was.
 */
bool value_string(const struct value *value, const char **text);
bool value_integer(struct reader *reader, const struct value *value, int64_t low, int64_t high,
		   uint32_t *number);
bool value_boolean(const struct value *value, bool *flag);
bool value_duration(struct reader *reader, const struct value *value, uint64_t low_ns,
		    uint64_t high_ns, uint64_t *nanoseconds);
bool value_choice(struct reader *reader, const struct value *value, const char *const *names,
		  uint32_t count, uint32_t *choice);
bool value_name(struct reader *reader, const struct value *value, const char **name);
bool value_path(struct reader *reader, const struct value *value, size_t size, char **path);

/* configuration_listen.c: an address of the loopback interface, and a port. */
bool value_listen(struct reader *reader, const struct value *value, struct listen_address *where);

/* An address that a host can have: not unspecified, loopback, multicast or broadcast. */
bool value_address(struct reader *reader, const struct value *value, struct address *address);

/* "192.0.2.0/24", or an address alone. */
bool value_prefix(struct reader *reader, const struct value *value, struct prefix *prefix);

/* Why nothing can be sent to this address ("a loopback address"), or NULL. */
const char *address_objection(const struct address *address);

/* ---- configuration_names.c ---- */

/* The words of the file in the order of their enums. */
extern const char *const xdp_mode_names[4];
extern const char *const encapsulation_names[4];
extern const char *const slow_path_names[2];
extern const char *const health_check_names[5];
extern const char *const health_check_via_names[2];
extern const char *const icmp_echo_names[3];
extern const char *const all_down_names[2];
extern const char *const affinity_names[2];

/* Names that must be unique, sorted so that they can be found and doubles seen. */
struct name_entry {
	const char *name;
	struct position position;
	uint32_t index;
};

void names_sort(struct name_entry *entries, uint32_t count);

/* Sorts the entries and reports every name that comes again: `duplicate NOUN name "web"`. */
void names_check_unique(struct reader *reader, struct name_entry *entries, uint32_t count,
			const char *noun);

/* The first entry of this name in sorted entries, or NULL. */
const struct name_entry *names_find(const struct name_entry *entries, uint32_t count,
				    const char *name);

/* ---- number_list.c ---- */

#define NUMBER_LIST_ERROR_SIZE 128

/*
 * Reads "0-3,6" into a list of its own, in the order of the text or sorted. Returns 0; -EINVAL
 * with the reason in `error`, worded to follow what the list is for: `holds 3 twice`; -ENOMEM.
 */
int number_list_parse(const char *text, uint32_t limit, bool sort, uint16_t **numbers,
		      uint32_t *count, char error[static NUMBER_LIST_ERROR_SIZE]);

/* The other way round, ranges joined; cut short with "..." when the buffer is too small. */
const char *number_list_format(const uint16_t *numbers, uint32_t count, char *buffer, size_t size);

/* ---- interface_configuration.c, and one file per section ---- */

bool interface_name_is_valid(const char *name);

/* `busy_poll`, `busy_poll_budget` and `busy_poll_idle` of an interface, in this order. */
void configuration_read_busy_poll(struct reader *reader, const struct value values[static 3],
				  struct busy_poll_configuration *busy_poll);
void configuration_read_interfaces(struct reader *reader, const struct value *list);
void configuration_read_source_address(struct reader *reader, const struct value *group);
void configuration_read_connections(struct reader *reader, const struct value *group);
void configuration_read_icmp(struct reader *reader, const struct value *group);
void configuration_read_fragments(struct reader *reader, const struct value *group);
void configuration_read_umem(struct reader *reader, const struct value *group);
void configuration_read_metrics(struct reader *reader, const struct value *group);
void configuration_read_announce(struct reader *reader, const struct value *group);

/* `announce` and `min_healthy` of a VIP whose pool is read, after those of the file. */
void configuration_read_vip_announce(struct reader *reader, const struct value *announce,
				     const struct value *min_healthy,
				     struct vip_configuration *vip);
void configuration_read_pools(struct reader *reader, const struct value *list);
void configuration_read_health_check(struct reader *reader, const struct value *group,
				     struct health_check_configuration *check);
void configuration_release_health_check(struct health_check_configuration *check);

/* After the VIPs: finds the VIP that each check through the tunnel is sent to. */
void configuration_resolve_health_checks(struct reader *reader);

/* ---- configuration_health_values.c ---- */

/* A list of codes and ranges such as ( 200, "300-399" ). Leaves `check` alone if there is none. */
void value_statuses(struct reader *reader, const struct value *list,
		    struct health_check_configuration *check);

/* Bytes as text, or as "hex:" and hexadecimal digits in pairs, spaces between them. */
void value_bytes(struct reader *reader, const struct value *value, struct byte_string *bytes);

/* Whether the text is a host name (RFC 1123 section 2.1, and "_") without a port. */
bool is_host_name(const char *text);

/* `pools` is the list of pools, read before. */
void configuration_read_vips(struct reader *reader, const struct value *list,
			     const struct value *pools);

/* After source_address, which it takes its addresses from if it has none. */
void configuration_read_decapsulation(struct reader *reader, const struct value *group);

/* Last of all: adds a pool that VIPs cannot name. */
void configuration_read_peers(struct reader *reader, const struct value *list);

struct interface;

/*
 * Warn of VIPs that hold an address of the load balancer's own, in a file without errors: one that
 * it names, or the one that is used when it names none. Return 0 or negative errno.
 */
int configuration_check_own(const struct configuration *configuration, struct findings *findings);
int configuration_check_nic_address(const struct configuration *configuration,
				    const struct interface *nic, struct findings *findings);

/* ---- certificate_file.c ---- */

#define CERTIFICATE_ERROR_SIZE 128

/* Whether a file holds certificates in PEM (RFC 7468), or why not, in words that follow its name.
 */
bool certificate_file_check(const char *path, char error[static CERTIFICATE_ERROR_SIZE]);

/* The part of configuration_check_host that is about the CPUs of workers. Adds to findings. Returns
 * 0 or -ENOMEM. */
int configuration_check_cpus(const struct configuration *configuration, struct findings *findings);

#endif
