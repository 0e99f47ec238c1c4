/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The grammar of a configuration file, by recursive descent, into a tree of positions.
 *
 * Where an error leaves the meaning of the rest clear (a comma too many, a word without quotes, a
 * setting that comes again), the copy is mended and reading goes on; where it does not, the tree
 * is marked as broken, and only further syntax errors are looked for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

struct parser {
	struct lexer lexer;
	struct tree *tree;
	uint32_t depth;
	uint32_t reported; /* the token that the last syntax error was about: its start + 1 */
};

/* A syntax error at the next token; only the first about the same one is worth telling. */
static void broken(struct parser *parser, const char *expected, const char *remark)
{
	struct lexer *lexer = &parser->lexer;

	if (parser->reported != lexer->token.start + 1)
		lexer_error(lexer, lexer->token.position, "expected %s, found %s%s", expected,
			    token_describe(&lexer->token), remark);
	parser->reported = lexer->token.start + 1;
	lexer->is_broken = true;
}

/* A new node; returns its index, 0 when there is no room, which stops everything. */
static uint32_t add_node(struct parser *parser, uint32_t parent, const struct node *node)
{
	struct lexer *lexer = &parser->lexer;
	uint32_t index = 0;
	int status = tree_add_node(parser->tree, parent, node, &index);

	if (status == 0)
		return index;
	if (status == -EFBIG)
		lexer_error(lexer, node->value_position, "the file holds more than %u values",
			    NODES_MAX);
	else
		lexer->status = status;
	lexer_stop(lexer);
	return 0;
}

static void parse_settings(struct parser *parser, uint32_t group);
static bool parse_value(struct parser *parser, uint32_t parent, struct node *node);

/* The closing bracket of what was opened at `opening`. */
static void close_bracket(struct parser *parser, struct position opening, char closing,
			  const char *inside)
{
	struct lexer *lexer = &parser->lexer;
	char open = closing == '}' ? '{' : closing == ')' ? '(' : '[';

	if (lexer_at(lexer, closing)) {
		lexer_advance(lexer);
	} else if (lexer->token.kind == TOKEN_END) {
		/* The innermost one that is open at the end; the others follow from it. */
		if (!lexer->is_broken)
			lexer_error(lexer, opening, "this \"%c\" is never closed", open);
		lexer_stop(lexer);
	} else {
		char expected[32], remark[64];

		snprintf(expected, sizeof(expected), "%s or \"%c\"", inside, closing);
		snprintf(remark, sizeof(remark), "; the \"%c\" at %u:%u is open", open,
			 opening.line, opening.column);
		broken(parser, expected, remark);
	}
}

static bool begins_value(const struct token *token)
{
	if (token->kind == TOKEN_PUNCTUATION)
		return strchr("([{", token->symbol) != NULL;
	return token->kind != TOKEN_END;
}

/* The elements of a list or array up to its closing bracket, which is not consumed. */
static void parse_elements(struct parser *parser, uint32_t list, char closing)
{
	struct lexer *lexer = &parser->lexer;

	while (begins_value(&lexer->token)) {
		struct node node = { 0 };
		struct token comma;

		if (!parse_value(parser, list, &node))
			return;
		comma = lexer->token;
		if (!lexer_at(lexer, ','))
			return;
		lexer_advance(lexer);
		if (lexer_at(lexer, closing)) {
			lexer_error(lexer, comma.position,
				    "no comma is allowed behind the last element");
			lexer_blank(lexer, comma.start, comma.start + 1);
		} else if (!begins_value(&lexer->token) && lexer->token.kind != TOKEN_END) {
			broken(parser, "a value behind the comma", "");
		}
	}
}

static void parse_list(struct parser *parser, uint32_t list, struct position opening, char closing)
{
	struct lexer *lexer = &parser->lexer;
	uint32_t start = lexer->token.start, end;

	lexer_advance(lexer);
	for (;;) {
		parse_elements(parser, list, closing);
		if (lexer_at(lexer, closing) || lexer->token.kind == TOKEN_END)
			break;
		close_bracket(parser, opening, closing,
			      parser->tree->nodes[list].child_count > 0 ? "\",\"" : "a value");
		/* A forgotten comma, most likely, when another element follows; otherwise the
		 * bracket was forgotten, and the list ends here. */
		if (lexer_at(lexer, ';') || lexer_at(lexer, ','))
			lexer_advance(lexer);
		if (!lexer_at(lexer, closing) &&
		    (lexer->token.kind == TOKEN_NAME || !begins_value(&lexer->token)))
			return;
	}
	end = lexer->token.start;
	close_bracket(parser, opening, closing, "\",\"");
	if (closing == ']') {
		/* No setting is an array: libconfig need not look at what is in one. */
		lexer_blank(lexer, start + 1, end);
		parser->tree->nodes[list].child_count = 0;
		parser->tree->nodes[list].first_child = 0;
	}
}

static void parse_group(struct parser *parser, uint32_t group, struct position opening)
{
	lexer_advance(&parser->lexer);
	parse_settings(parser, group);
	close_bracket(parser, opening, '}', "a setting");
}

/* A list, array or group; the node is added before its children. */
static bool parse_compound(struct parser *parser, uint32_t parent, struct node *node)
{
	struct lexer *lexer = &parser->lexer;
	char symbol = lexer->token.symbol;
	struct position opening = lexer->token.position;
	uint32_t index;

	node->kind = symbol == '{' ? NODE_GROUP : symbol == '(' ? NODE_LIST : NODE_ARRAY;
	if (parser->depth == NESTING_MAX) {
		lexer_error(lexer, opening, "values are nested more than %u deep", NESTING_MAX);
		lexer_stop(lexer);
		return false;
	}
	index = add_node(parser, parent, node);
	if (index == 0)
		return false;
	parser->depth++;
	if (symbol == '{')
		parse_group(parser, index, opening);
	else
		parse_list(parser, index, opening, symbol == '(' ? ')' : ']');
	parser->depth--;
	return true;
}

/* A word without quotes, which is consumed: the string that was meant, or a setting that begins
 * where a value is missing. */
static bool parse_word(struct parser *parser, uint32_t parent, const struct token *word)
{
	struct lexer *lexer = &parser->lexer;
	const char *text = lexer->text + word->start;
	int shown = word->length < CONFIGURATION_NAME_LENGTH ? (int)word->length
							     : CONFIGURATION_NAME_LENGTH;

	lexer_advance(lexer);
	if (lexer_at(lexer, '=') || lexer_at(lexer, ':')) {
		bool is_element = parser->tree->nodes[parent].kind != NODE_GROUP;

		lexer_error(lexer, word->position, "expected a value, found the setting \"%.*s\"%s",
			    shown, text, is_element ? "; settings in a list need { }" : "");
		lexer->is_broken = true;
		if (is_element)
			lexer_stop(lexer);
		return false;
	}
	lexer_error(lexer, word->position, "a string needs quotes: \"%.*s\"", shown, text);
	lexer_replace(lexer, word->start, word->start + word->length, "0");
	return true;
}

/* A value that is no group, list or array: it is consumed, with the strings that follow one. */
static bool parse_simple(struct parser *parser, uint32_t parent, struct node *node)
{
	struct lexer *lexer = &parser->lexer;
	struct token token = lexer->token;
	uint32_t end = token.start + token.length;

	node->is_bad = token.is_bad || token.kind == TOKEN_NAME;
	node->kind = token.kind == TOKEN_INTEGER   ? NODE_INTEGER
		     : token.kind == TOKEN_FLOAT   ? NODE_FLOAT
		     : token.kind == TOKEN_BOOLEAN ? NODE_BOOLEAN
						   : NODE_STRING;
	if (token.kind != TOKEN_NAME)
		lexer_advance(lexer);
	else if (!parse_word(parser, parent, &token))
		return false;
	while (token.kind == TOKEN_STRING && lexer->token.kind == TOKEN_STRING) {
		node->is_bad |= lexer->token.is_bad;
		end = lexer->token.start + lexer->token.length;
		lexer_advance(lexer);
	}
	node->value_length = end - node->value_start;
	return add_node(parser, parent, node) != 0;
}

/* Returns false when there is none, which is then reported. */
static bool parse_value(struct parser *parser, uint32_t parent, struct node *node)
{
	const struct token *token = &parser->lexer.token;

	node->value_start = token->start;
	node->value_position = token->position;
	if (!begins_value(token)) {
		broken(parser, "a value", "");
		return false;
	}
	if (token->kind == TOKEN_PUNCTUATION)
		return parse_compound(parser, parent, node);
	return parse_simple(parser, parent, node);
}

/* On to the end of a setting that could not be read: behind the next ";" outside of brackets, or
 * at the bracket that closes the group. */
static void skip_setting(struct lexer *lexer)
{
	uint32_t depth = 0;

	while (lexer->token.kind != TOKEN_END) {
		if (lexer->token.kind == TOKEN_PUNCTUATION) {
			char symbol = lexer->token.symbol;

			if (depth == 0 && strchr(")]}", symbol))
				return;
			if (strchr("([{", symbol))
				depth++;
			else if (strchr(")]}", symbol))
				depth--;
			else if (depth == 0 && symbol == ';')
				break;
		}
		lexer_advance(lexer);
	}
	lexer_advance(lexer);
}

/* A setting's name and the "=" behind it. */
static bool parse_assignment(struct parser *parser)
{
	struct lexer *lexer = &parser->lexer;
	struct token name = lexer->token;

	if (memchr(lexer->text + name.start, '.', name.length)) {
		lexer_error(lexer, name.position, "the name of a setting cannot hold a point");
		lexer->is_broken = true;
		return false;
	}
	lexer_advance(lexer);
	if (!lexer_at(lexer, '=') && !lexer_at(lexer, ':')) {
		broken(parser, "\"=\" behind the name", "");
		return false;
	}
	lexer_advance(lexer);
	return true;
}

static void parse_setting(struct parser *parser, uint32_t group)
{
	struct lexer *lexer = &parser->lexer;
	struct token name = lexer->token;
	const struct node *found = tree_find_setting(parser->tree, lexer->text, group,
						     lexer->text + name.start, name.length);
	struct node node = { .name_start = name.start,
			     .name_length = name.length,
			     .name_position = name.position };
	uint32_t before = parser->tree->count;
	struct node parent = parser->tree->nodes[group];
	struct position first = found ? found->name_position : name.position;
	bool is_double = found != NULL;

	if (parent.child_count == SETTINGS_MAX) {
		lexer_error(lexer, name.position, "more than %u settings in one group",
			    SETTINGS_MAX);
		lexer_stop(lexer);
		return;
	}
	if (!parse_assignment(parser) || !parse_value(parser, group, &node)) {
		skip_setting(lexer);
		return;
	}
	if (lexer_at(lexer, ';') || lexer_at(lexer, ','))
		lexer_advance(lexer);
	if (is_double) {
		lexer_error(lexer, name.position, "\"%.*s\" is set twice: the first is at %u:%u",
			    name.length < 63 ? (int)name.length : 63, lexer->text + name.start,
			    first.line, first.column);
		lexer_blank(lexer, name.start, lexer->token.start);
		/* The second and all in it vanish from the tree, too. */
		parser->tree->nodes[group] = parent;
		parser->tree->nodes[parent.last_child].next = 0;
		parser->tree->count = before;
	}
}

static void parse_settings(struct parser *parser, uint32_t group)
{
	struct lexer *lexer = &parser->lexer;

	for (;;) {
		const struct token *token = &lexer->token;

		if (token->kind == TOKEN_END || lexer_at(lexer, '}'))
			return;
		if (token->kind == TOKEN_NAME) {
			parse_setting(parser, group);
		} else if (lexer_at(lexer, ';') || lexer_at(lexer, ',')) {
			lexer_error(lexer, token->position, "there is no setting in front of this");
			lexer_blank(lexer, token->start, token->start + 1);
			lexer_advance(lexer);
		} else if (group != 0 && (lexer_at(lexer, ')') || lexer_at(lexer, ']'))) {
			return;
		} else {
			broken(parser, "the name of a setting", "");
			if (lexer_at(lexer, ')') || lexer_at(lexer, ']'))
				lexer_advance(lexer);
			skip_setting(lexer);
		}
	}
}

int tree_build(const char *text, struct findings *findings, struct tree *tree)
{
	struct parser parser = { .tree = tree };
	struct lexer *lexer = &parser.lexer;
	static const struct node root = { .kind = NODE_GROUP };

	*tree = (struct tree){ .copy = strdup(text) };
	if (!tree->copy)
		return -ENOMEM;
	lexer_start(lexer, text, (uint32_t)strlen(text), tree->copy, findings);
	add_node(&parser, 0, &root);
	while (lexer->status == 0 && lexer->token.kind != TOKEN_END) {
		parse_settings(&parser, 0);
		/* At the top level nothing is open that this could close. */
		if (lexer_at(lexer, '}')) {
			broken(&parser, "the name of a setting", "");
			lexer_advance(lexer);
		}
	}
	tree->is_broken = lexer->is_broken;
	return lexer->status;
}
