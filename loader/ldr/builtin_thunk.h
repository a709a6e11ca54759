/*
 * The machine code of builtin images, in the word size of this process.
 *
 * A function's thunk jumps through the pointer table. A trap's thunk loads the address of its
 * record and jumps to the gate, the thunk of ldr_trap_entry (trap.S). A record is two 32-bit
 * distances from itself to the names of the module and of the function.
 */
#ifndef LDR_BUILTIN_THUNK_H
#define LDR_BUILTIN_THUNK_H

#include "pe/span.h"

#define LDR_THUNK_SIZE 16u /* of a function's or a trap's thunk, and its alignment */

/* An image in the making whose file offsets are its RVAs, and the base that it is written for. */
struct ldr_thunk_image {
    struct pe_span bytes;
    uint32_t base;
};

/* Each writes code at `rva` and returns the RVA of its absolute operand, which wants a HIGHLOW
 * fixup, or 0 when it has none (x86-64). */
uint32_t ldr_thunk_jump(const struct ldr_thunk_image *image, uint32_t rva, uint32_t slot);
uint32_t ldr_thunk_trap(const struct ldr_thunk_image *image, uint32_t rva, uint32_t record,
                        uint32_t gate);
/* What is at `rva` is a trap's thunk. */
bool ldr_thunk_is_trap(struct pe_span image, uint32_t rva);

#endif
