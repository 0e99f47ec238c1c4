/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "configuration_internal.h"

/* A source line longer than this is shown as a window around the caret. */
enum {
	LINE_SHOWN_WHOLE = 400,
	LINE_WINDOW = 60,
};

/* The bytes of the UTF-8 sequence at text (RFC 3629), 0 when it is none or a control character. */
static size_t printable_length(const unsigned char *text)
{
	static const uint32_t lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t code;
	size_t length;

	if (text[0] < 0x80)
		return text[0] >= 0x20 && text[0] != 0x7f;
	if (text[0] < 0xc0 || text[0] >= 0xf8)
		return 0;
	length = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
	code = text[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3fu);
	}
	if (code < lowest[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	return code >= 0xa0 ? length : 0;
}

void text_make_printable(char *text)
{
	while (*text != '\0') {
		size_t length = printable_length((const unsigned char *)text);

		if (length == 0)
			*text = '?';
		text += length > 0 ? length : 1;
	}
}

int findings_add(struct findings *findings, bool is_warning, struct position position,
		 const char *format, ...)
{
	struct finding *entries = findings->entries;
	char *message;
	va_list arguments;
	int length;

	if (findings->count >= FINDINGS_MAX) {
		findings->error_count += !is_warning;
		return 0;
	}
	/* Grown whenever the count reaches a power of two. */
	if ((findings->count & (findings->count - 1)) == 0) {
		size_t capacity = findings->count ? 2 * (size_t)findings->count : 1;

		entries = reallocarray(entries, capacity, sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		findings->entries = entries;
	}
	va_start(arguments, format);
	length = vasprintf(&message, format, arguments);
	va_end(arguments);
	if (length < 0)
		return -ENOMEM;
	text_make_printable(message);
	entries[findings->count++] = (struct finding){ is_warning, position, message };
	findings->error_count += !is_warning;
	return 0;
}

static int compare_positions(const void *left, const void *right)
{
	const struct finding *a = left, *b = right;

	if (a->position.line != b->position.line)
		return a->position.line < b->position.line ? -1 : 1;
	if (a->position.column != b->position.column)
		return a->position.column < b->position.column ? -1 : 1;
	return strcmp(a->message, b->message);
}

void findings_sort(struct findings *findings)
{
	if (findings->count > 1)
		qsort(findings->entries, findings->count, sizeof(*findings->entries),
		      compare_positions);
}

static bool is_continuation(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

static void print_part(const char *start, const char *end, FILE *stream)
{
	while (start < end) {
		size_t length = printable_length((const unsigned char *)start);

		if (*start == '\t')
			length = 1;
		if (length == 0)
			fputc('?', stream);
		else
			fwrite(start, 1, length, stream);
		start += length > 0 ? length : 1;
	}
}

/* Tabs of the line are tabs in front of the caret, so that it stands below its character whatever
 * the width of a tab is. */
static void print_caret(const char *start, const char *caret, FILE *stream)
{
	for (; start < caret; start++) {
		if (!is_continuation(*start))
			fputc(*start == '\t' ? '\t' : ' ', stream);
	}
	fputs("^\n", stream);
}

static void print_source(const char *line, uint32_t column, FILE *stream)
{
	const char *end = line + strcspn(line, "\n");
	const char *caret = line, *start = line, *stop;
	bool is_cut;

	if (end > line && end[-1] == '\r')
		end--;
	for (uint32_t i = 1; i < column && caret < end; i++) {
		do
			caret++;
		while (caret < end && is_continuation(*caret));
	}
	stop = end;
	is_cut = end - line > LINE_SHOWN_WHOLE;
	if (is_cut) {
		start = caret - line > LINE_WINDOW ? caret - LINE_WINDOW : line;
		stop = end - caret > LINE_WINDOW ? caret + LINE_WINDOW : end;
		while (start < caret && is_continuation(*start))
			start++;
		while (stop < end && is_continuation(*stop))
			stop++;
	}
	if (start > line)
		fputs("...", stream);
	print_part(start, stop, stream);
	fputs(stop < end ? "...\n" : "\n", stream);
	if (column == 0)
		return;
	if (start > line)
		fputs("   ", stream);
	print_caret(start, caret, stream);
}

static void print_finding(const struct findings *findings, const struct finding *finding,
			  const char *line, FILE *stream)
{
	const char *kind = finding->is_warning ? "warning: " : "";

	fputs(findings->file, stream);
	if (finding->position.line > 0)
		fprintf(stream, ":%u", finding->position.line);
	if (finding->position.line > 0 && finding->position.column > 0)
		fprintf(stream, ":%u", finding->position.column);
	fprintf(stream, ": %s%s\n", kind, finding->message);
	if (line)
		print_source(line, finding->position.column, stream);
}

void findings_print(const struct findings *findings, FILE *stream)
{
	const char *line = findings->text;
	uint32_t line_number = 1, errors = 0;

	for (uint32_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->entries[i];

		errors += !finding->is_warning;
		/* Sorted findings walk the text once; others start again from its beginning. */
		if (!line || finding->position.line < line_number) {
			line = findings->text;
			line_number = 1;
		}
		while (line && line_number < finding->position.line) {
			line = strchr(line, '\n');
			if (line)
				line++;
			line_number++;
		}
		print_finding(findings, finding, finding->position.line > 0 ? line : NULL, stream);
	}
	if (findings->error_count > errors)
		fprintf(stream, "%s: %u more errors\n", findings->file,
			findings->error_count - errors);
}

void findings_release(struct findings *findings)
{
	for (uint32_t i = 0; i < findings->count; i++)
		free(findings->entries[i].message);
	free(findings->entries);
	free(findings->text);
	free(findings->file);
	memset(findings, 0, sizeof(*findings));
}
