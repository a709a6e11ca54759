/*
 * Odd images whose imports and code are one piece, for headers that are made by hand and for images
 * with one PE section or none; and headers that are moved about in a finished file.
 */
#ifndef TESTS_ODD_PIECE_H
#define TESTS_ODD_PIECE_H

#include "tests/odd/odd.h"

/* Behind the import tables, from the piece's begin. */
enum { ODD_PIECE_CODE = 0xa0 };

/* The piece will lie at `rva`: code goes to odd->code from now on. */
void odd_piece(struct odd *odd, uint32_t rva);
/* Imports and code in one buffer of the caller's (to free); there is no code in `odd` any more. */
uint8_t *odd_piece_take(struct odd *odd, uint32_t *size);
/* The piece becomes the next PE section, which begins where odd_piece() was told. */
uint32_t odd_piece_section(struct odd *odd, uint32_t characteristics);
/*
 * The piece goes into a flat file without PE sections, whose headers are those of the builder so
 * far: it lies where odd_piece() was told, and is the end of the file.
 */
void odd_piece_flat(struct odd *odd);

/* NT headers and section table of the finished file go to `lfanew`; zeroes are left behind. */
void odd_move_headers(struct odd *odd, uint32_t lfanew);
/* The section table alone goes to `offset`, by SizeOfOptionalHeader. */
void odd_move_table(struct odd *odd, uint32_t offset);
uint32_t odd_get32(const struct odd *odd, uint64_t offset);
uint16_t odd_section_count(const struct odd *odd);

/* More PE sections than the builder takes: so many entries in the table, which has to be the end of
 * the file. The new ones are zero. */
void odd_grow_table(struct odd *odd, uint16_t count);
/* One entry of the table of the finished file. */
void odd_put_section(struct odd *odd, uint32_t i, const struct pebuild_section *section);

#endif
