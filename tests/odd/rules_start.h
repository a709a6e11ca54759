/*
 * What the images of the rules begin with: a program that prints "accepted" (odd_rules*.c). Each
 * image changes one thing of it.
 */
#ifndef TESTS_ODD_RULES_START_H
#define TESTS_ODD_RULES_START_H

#include <string.h>

#include "tests/odd/odd.h"

/* ".idata" at 0x1000, ".text" at 0x2000; SizeOfHeaders 0x400, SizeOfImage 0x3000. */
static inline struct pebuild *start(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print(odd, "accepted");
    odd_exit(odd, 0);
    odd_text(odd);
    return odd->b;
}

/* The same with SectionAlignment 0x20: PE sections lie where they lie in the file, from 0x400. */
static inline struct pebuild *start_flat(struct odd *odd)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.section_alignment = odd->b->h.file_alignment = 0x20;
    return start(odd);
}

static inline struct pebuild *start_dll(struct odd *odd)
{
    odd_program(odd, PEBUILD_DLL);
    odd_return(odd, 1);
    odd_text(odd);
    return odd->b;
}

/* An image from start() with one thing changed; the row's function. */
#define SPOIL(name, ...)                \
    static void name(struct odd *odd)   \
    {                                   \
        struct pebuild *b = start(odd); \
        __VA_ARGS__;                    \
    }
#define SPOIL_FLAT(name, ...)                \
    static void name(struct odd *odd)        \
    {                                        \
        struct pebuild *b = start_flat(odd); \
        __VA_ARGS__;                         \
    }
/* The same with the file's bytes changed. */
#define SPOIL_BYTES(name, ...)        \
    static void name(struct odd *odd) \
    {                                 \
        start(odd);                   \
        odd_finish(odd);              \
        __VA_ARGS__;                  \
    }

/* Who refuses: in the order of odd_row.refused. */
#define BY_ALL(id)   .refused = {id, id, id}, .alone = true
#define BY_XP(id)    .refused = {id, NULL, NULL}, .alone = true
#define BY_7(id)     .refused = {NULL, id, NULL}, .alone = true
#define BY_10(id)    .refused = {NULL, NULL, id}, .alone = true
#define BY_7_10(id)  .refused = {NULL, id, id}, .alone = true
#define BY_XP_7(id)  .refused = {id, id, NULL}, .alone = true
#define BY_XP_10(id) .refused = {id, NULL, id}, .alone = true
/* It runs on those that take it. */
#define RUNS .output = "accepted"

#endif
