/*
 * Import tables written by hand, for odd images: a page behind the code, at an RVA that the code
 * can know before the page is made.
 *
 *     odd_program(odd, PEBUILD_EXE);
 *     idata_say(odd, idata_table(1), 'A');              // the code: calls through the table
 *     odd_exit(odd, 0);
 *     struct idata *i = idata_begin(odd);               // the code is complete
 *     idata_putchar(i, 2, idata_table(0), idata_table(1));
 *     idata_finish(i);
 *
 * The directory begins with copies of the two descriptors of odd_program(); those that a test adds
 * are number 2 and following.
 */
#ifndef TESTS_ODD_IDATA_H
#define TESTS_ODD_IDATA_H

#include "tests/odd/odd.h"

#define IDATA             0x3000u          /* RVA of the page */
#define IDATA_DESCRIPTORS IDATA            /* where descriptors lie, up to the tables */
#define IDATA_EXTRA       (IDATA + 0x900u) /* 0x100 bytes for a further directory */
#define IDATA_STRINGS     (IDATA + 0xa00u) /* from here to the end of the page */
#define IDATA_SIZE        0x1000u

struct idata {
    struct odd *odd;
    uint32_t directory, strings;
    uint32_t raw_size; /* what the file holds of the page; IDATA_SIZE by default */
    uint8_t bytes[IDATA_SIZE];
};

/* Table `n` of up to 20, each with room for 7 thunks and their end, and the RVA of a slot in it. */
uint32_t idata_table(uint32_t n);
uint32_t idata_slot(uint32_t n, uint32_t i);

/* The code is complete; the page begins. */
struct idata *idata_begin(struct odd *odd);
/* Adds the page to the image, sets the import directory, frees. */
void idata_finish(struct idata *i);

/* Writers; `rva` lies in the page. */
void idata_put32(struct idata *i, uint32_t rva, uint32_t value);
void idata_pointer(struct idata *i, uint32_t rva, uint64_t value);
uint32_t idata_string(struct idata *i, const char *text);
/* A thunk's value: a hint and a name, written among the strings; an ordinal. */
uint64_t idata_name(struct idata *i, uint16_t hint, const char *name);
uint64_t idata_ordinal(uint16_t ordinal);
/* A descriptor's fields; the others are 0. `dll` NULL = 0. */
void idata_descriptor(struct idata *i, uint32_t index, uint32_t lookup, const char *dll,
                      uint32_t iat);
/* The RVA of a descriptor's field: 0 OriginalFirstThunk ... 4 FirstThunk. */
uint32_t idata_field(uint32_t index, uint32_t field);
/* A whole import of one function: `lookup` 0 = none. */
void idata_import(struct idata *i, uint32_t index, uint32_t lookup, const char *dll, uint32_t iat,
                  const char *function);
/* msvcrt's putchar. */
void idata_putchar(struct idata *i, uint32_t index, uint32_t lookup, uint32_t iat);

/* Code: putchar(c) through a slot. */
void idata_say(struct odd *odd, uint32_t slot, char c);

#endif
