/*
 * Cells of the tables that walk and sections print: sizes for people, constants without their
 * prefix, base names.
 */
#ifndef TOOLS_TABLE_H
#define TOOLS_TABLE_H

#include <stdint.h>

#include "tools/doc.h"

#define TABLE_SIZE 24
/* "64K", "1.5M", "127.9T": at most 7 characters; exact below 10000K, cut otherwise. */
const char *table_size(uint64_t bytes, char out[TABLE_SIZE]);
#define TABLE_NAME 256
/* The base name of a path; of one in /proc/PID/maps without what the kernel adds. */
const char *table_name(const char *path, char out[TABLE_NAME]);
/* A hex string of the document as a number. */
uint64_t table_hex(const json_t *object, const char *key);
/* "PAGE_READONLY|PAGE_GUARD" -> "READONLY|GUARD" */
const char *table_protect(const char *name, char out[48]);

#endif
