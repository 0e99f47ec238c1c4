/* SPDX-License-Identifier: BSD-2-Clause */
/* The words of a configuration file, by libconfig 1.5's rules. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

void lexer_error(struct lexer *lexer, struct position position, const char *format, ...)
{
	char message[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	if (findings_add(lexer->findings, false, position, "%s", message) != 0)
		lexer->status = -ENOMEM;
}

void lexer_blank(struct lexer *lexer, uint32_t start, uint32_t end)
{
	for (uint32_t i = start; i < end; i++) {
		if (lexer->copy[i] != '\n')
			lexer->copy[i] = ' ';
	}
}

void lexer_replace(struct lexer *lexer, uint32_t start, uint32_t end, const char *value)
{
	lexer_blank(lexer, start, end);
	memcpy(lexer->copy + start, value, strlen(value));
}

void lexer_stop(struct lexer *lexer)
{
	lexer->offset = lexer->length;
	lexer->is_broken = true;
	lexer->token = (struct token){ .kind = TOKEN_END,
				       .start = lexer->length,
				       .position = lexer->position };
}

bool lexer_at(const struct lexer *lexer, char symbol)
{
	return lexer->token.kind == TOKEN_PUNCTUATION && lexer->token.symbol == symbol;
}

const char *token_describe(const struct token *token)
{
	static const char *const symbols[] = { "\"=\"", "\":\"", "\";\"", "\",\"", "\"(\"",
					       "\")\"", "\"[\"", "\"]\"", "\"{\"", "\"}\"" };

	switch (token->kind) {
	case TOKEN_END:
		return "the end of the file";
	case TOKEN_NAME:
		return "a name";
	case TOKEN_STRING:
		return "a string";
	case TOKEN_INTEGER:
	case TOKEN_FLOAT:
		return "a number";
	case TOKEN_BOOLEAN:
		return "a boolean";
	case TOKEN_PUNCTUATION:
		break;
	}
	return symbols[strchr("=:;,()[]{}", token->symbol) - "=:;,()[]{}"];
}

/* A column is a character: the continuation bytes of UTF-8 do not count. */
void lexer_step(struct lexer *lexer)
{
	unsigned char byte = (unsigned char)lexer->text[lexer->offset++];

	if (byte == '\n') {
		lexer->position.line++;
		lexer->position.column = 1;
	} else if (lexer->offset == lexer->length ||
		   ((unsigned char)lexer->text[lexer->offset] & 0xc0) != 0x80) {
		lexer->position.column++;
	}
}

void lexer_step_to(struct lexer *lexer, uint32_t offset)
{
	while (lexer->offset < offset)
		lexer_step(lexer);
}

static void skip_comment(struct lexer *lexer)
{
	struct position position = lexer->position;
	uint32_t start = lexer->offset;

	if (lexer_peek(lexer, 0) == '/' && lexer_peek(lexer, 1) == '*') {
		const char *end = strstr(lexer->text + start + 2, "*/");

		if (end) {
			lexer_step_to(lexer, (uint32_t)(end - lexer->text) + 2);
		} else {
			lexer_error(lexer, position, "this comment is never closed");
			lexer_stop(lexer);
		}
	} else {
		while (lexer->offset < lexer->length && lexer_peek(lexer, 0) != '\n')
			lexer_step(lexer);
	}
	/* libconfig 1.5 takes a comment at the very end of a file for an error. */
	lexer_blank(lexer, start, lexer->offset);
}

static void skip_space(struct lexer *lexer)
{
	while (lexer->offset < lexer->length) {
		char c = lexer_peek(lexer, 0);

		if (c == '#' ||
		    (c == '/' && (lexer_peek(lexer, 1) == '/' || lexer_peek(lexer, 1) == '*')))
			skip_comment(lexer);
		else if (strchr(" \t\n\r\f", c))
			lexer_step(lexer);
		else
			return;
	}
}

/* With points, which no name may hold, so that a host name without quotes is one word. */
static void read_name(struct lexer *lexer, struct token *token)
{
	const char *text = lexer->text + token->start;

	while (character_is_letter(lexer_peek(lexer, 0)) ||
	       character_is_digit(lexer_peek(lexer, 0)) ||
	       (lexer_peek(lexer, 0) != '\0' && strchr("-_*.", lexer_peek(lexer, 0))))
		lexer_step(lexer);
	token->length = lexer->offset - token->start;
	token->kind = TOKEN_NAME;
	if ((token->length == 4 && strncasecmp(text, "true", 4) == 0) ||
	    (token->length == 5 && strncasecmp(text, "false", 5) == 0))
		token->kind = TOKEN_BOOLEAN;
}

/* Something that no word begins with: one finding for the whole run of such characters. */
static void skip_unexpected(struct lexer *lexer)
{
	struct position position = lexer->position;
	uint32_t start = lexer->offset;
	unsigned char byte = (unsigned char)lexer_peek(lexer, 0);

	if (strncmp(lexer->text + start, "@include", 8) == 0) {
		lexer_error(lexer, position,
			    "@include is not supported: write everything into one file");
		lexer->is_broken = true;
		while (lexer->offset < lexer->length && lexer_peek(lexer, 0) != '\n')
			lexer_step(lexer);
	} else if (byte < 0x80) {
		if (byte > 0x20 && byte < 0x7f)
			lexer_error(lexer, position, "unexpected character \"%c\"", byte);
		else
			lexer_error(lexer, position, "unexpected control character 0x%02x", byte);
		while (lexer_peek(lexer, 0) == (char)byte)
			lexer_step(lexer);
	} else {
		do
			lexer_step(lexer);
		while ((unsigned char)lexer_peek(lexer, 0) >= 0x80);
		lexer_error(
			lexer, position,
			"unexpected \"%.*s\": only ASCII is allowed outside strings and comments",
			(int)(lexer->offset - start < 40 ? lexer->offset - start : 40),
			lexer->text + start);
	}
	lexer_blank(lexer, start, lexer->offset);
}

static bool begins_number(char c)
{
	return character_is_digit(c) || c == '+' || c == '-' || c == '.';
}

void lexer_advance(struct lexer *lexer)
{
	struct token token = { 0 };
	char c;

	skip_space(lexer);
	while (lexer->offset < lexer->length && !strchr("\"=:;,()[]{}*", lexer_peek(lexer, 0)) &&
	       !character_is_letter(lexer_peek(lexer, 0)) && !begins_number(lexer_peek(lexer, 0))) {
		skip_unexpected(lexer);
		skip_space(lexer);
	}
	token.start = lexer->offset;
	token.position = lexer->position;
	c = lexer_peek(lexer, 0);
	if (lexer->offset == lexer->length || lexer->status != 0) {
		token.kind = TOKEN_END;
	} else if (c == '"') {
		lexer_read_string(lexer, &token);
	} else if (begins_number(c)) {
		lexer_read_number(lexer, &token);
	} else if (character_is_letter(c) || c == '*') {
		read_name(lexer, &token);
	} else {
		token.kind = TOKEN_PUNCTUATION;
		token.symbol = c;
		lexer_step(lexer);
	}
	token.length = lexer->offset - token.start;
	lexer->token = token;
}

void lexer_start(struct lexer *lexer, const char *text, uint32_t length, char *copy,
		 struct findings *findings)
{
	*lexer = (struct lexer){ .text = text,
				 .copy = copy,
				 .length = length,
				 .position = { 1, 1 },
				 .findings = findings };
	lexer_advance(lexer);
}
