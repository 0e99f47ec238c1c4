/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A configuration as JSON, with every setting that counts and every default filled in, and what is
 * different between two of them. Documents compare wherever they were made: the daemon sends its
 * own, and the client reads a file with its own rights.
 *
 * Thread: any. Allocates.
 */
#ifndef FLUXPIN_CONFIGURATION_JSON_H
#define FLUXPIN_CONFIGURATION_JSON_H

#include <stdio.h>

#include <jansson.h>

#include <fluxpin/configuration.h>

/* The document, in the file's words. NULL without memory. */
json_t *configuration_to_json(const struct configuration *configuration);

/*
 * What is different, as an array of objects, empty for nothing:
 *
 *     {"change": "added" | "removed", "kind": "pool" | "backend" | "VIP" | "interface", "name"}
 *     {"change": "changed", "kind": as above | "setting", "name", "setting", "from", "to"}
 *
 * Backends are named POOL/BACKEND; those of a pool that is new or gone are not listed by
 * themselves. Order does not count. "restart": true is added to what a reload does not change. The
 * hash seed is a secret: "from" and "to" of it are null. What only one of the documents has at the
 * top level is left out. NULL without memory.
 */
json_t *configuration_diff(const json_t *from, const json_t *to);

/* Prints changes, a line each: "+ backend web/web-3", "~ pool web: table_size 65537 -> 251". */
void configuration_print_changes(const json_t *changes, FILE *stream);

#endif
