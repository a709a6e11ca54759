/*
 * Odd programs that call functions (odd_calls.h). Encodings: Intel SDM, volume 2.
 */
#include "tests/odd/odd_calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EMIT(odd, ...) \
    odd_emit(odd, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

enum { MAX_NAMES = 15 };

static void die(const char *what)
{
    fprintf(stderr, "odd_calls: %s\n", what);
    abort();
}

static void emit32(struct odd *odd, uint32_t value)
{
    uint8_t bytes[4];
    pebuild_put32(bytes, 0, value);
    odd_emit(odd, bytes, sizeof(bytes));
}

/* A displacement from its own end. */
static void emit_relative(struct odd *odd, uint32_t rva)
{
    emit32(odd, rva - (odd_here(odd) + 4));
}

/* ---- imports and data ---- */

static void add_names(struct pebuild_import *import, const char *const *names)
{
    uint32_t n = 0;
    while (import->names[n])
        n++;
    for (; names && *names; names++) {
        if (n == MAX_NAMES)
            die("too many names");
        import->names[n++] = *names;
    }
}

void odd_calls_begin(struct odd_calls *c, struct odd *odd, unsigned flags,
                     const char *const *kernel32, const char *module, const char *const *names)
{
    *c = (struct odd_calls){
        .odd = odd,
        .import_count = module ? 3 : 2,
        .imports = {{.module = "msvcrt.dll", .names = {"printf", "fflush"}},
                    {.module = "KERNEL32.dll", .names = {"ExitProcess"}},
                    {.module = module}},
    };
    add_names(&c->imports[1], kernel32);
    add_names(&c->imports[2], names);
    odd_program_with(odd, flags, c->imports, c->import_count);
}

void odd_calls_end(struct odd_calls *c)
{
    odd_text(c->odd);
    if (pebuild_next_rva(c->odd->b) != ODD_DATA)
        die("the data are not where the code expects them");
    pebuild_section(c->odd->b, ".data", PEBUILD_DATA, c->data, c->used ? c->used : 1, 0);
}

uint32_t odd_calls_bytes(struct odd_calls *c, const void *bytes, uint32_t size)
{
    uint32_t at = c->used;
    if (size > sizeof(c->data) - at - 8)
        die("too much data");
    if (bytes)
        memcpy(c->data + at, bytes, size);
    c->used = (at + size + 7) & ~7u;
    return ODD_DATA + at;
}

uint32_t odd_calls_text(struct odd_calls *c, const char *text)
{
    return odd_calls_bytes(c, text, (uint32_t)strlen(text) + 1);
}

uint32_t odd_calls_wide(struct odd_calls *c, const char *text)
{
    uint32_t rva = odd_calls_bytes(c, NULL, 2 * (uint32_t)strlen(text) + 2);
    for (uint32_t i = 0; text[i]; i++)
        c->data[rva - ODD_DATA + 2 * i] = (uint8_t)text[i];
    return rva;
}

uint32_t odd_calls_slot(struct odd_calls *c)
{
    return odd_calls_bytes(c, NULL, 8);
}

uint32_t odd_calls_pointer(struct odd_calls *c, uint32_t rva)
{
    uint32_t slot = odd_calls_slot(c);
    uint64_t address = c->odd->b->h.image_base + rva;
    if (c->odd->code.wide)
        pebuild_put64(c->data, slot - ODD_DATA, address);
    else
        pebuild_put32(c->data, slot - ODD_DATA, (uint32_t)address);
    pebuild_pointer_fixup(c->odd->b, slot);
    return slot;
}

uint32_t odd_calls_iat(const struct odd_calls *c, const char *name)
{
    uint32_t width = c->odd->code.wide ? 8 : 4;
    for (uint32_t i = 0; i < c->import_count; i++) {
        const struct pebuild_import *import = &c->imports[i];
        for (uint32_t j = 0; j < MAX_NAMES && import->names[j]; j++)
            if (strcmp(import->names[j], name) == 0)
                return import->iat_rva + j * width;
    }
    die(name);
    return 0;
}

/* ---- calls ---- */

/* x86-64: an argument to the register that `index` is passed in, or to rax. */
static void emit_argument64(struct odd *odd, uint32_t index, struct odd_argument argument)
{
    /* rcx, rdx, r8, r9, rax: REX and ModRM of lea and mov from memory; REX and opcode of mov. */
    static const uint8_t memory[5][2] = {
        {0x48, 0x0d}, {0x48, 0x15}, {0x4c, 0x05}, {0x4c, 0x0d}, {0x48, 0x05}};
    static const uint8_t constant[5][2] = {
        {0x40, 0xb9}, {0x40, 0xba}, {0x41, 0xb8}, {0x41, 0xb9}, {0x40, 0xb8}};
    uint32_t i = index < 4 ? index : 4;
    if (argument.kind == ODD_ARGUMENT_VALUE) {
        odd_emit(odd, constant[i], 2);
        emit32(odd, argument.value);
    } else {
        uint8_t opcode = argument.kind == ODD_ARGUMENT_AT ? 0x8d : 0x8b;
        EMIT(odd, memory[i][0], opcode, memory[i][1]);
        emit_relative(odd, argument.value);
    }
    if (index >= 4)
        EMIT(odd, 0x48, 0x89, 0x44, 0x24, (uint8_t)(index * 8)); /* mov [rsp+...], rax */
}

static void call64(struct odd *odd, uint32_t function, uint32_t result,
                   const struct odd_argument *arguments, uint32_t count)
{
    uint32_t space = count <= 4 ? 0x20 : (count * 8 + 15) & ~15u;
    EMIT(odd, 0x53, 0x48, 0x89, 0xe3);           /* push rbx; mov rbx, rsp */
    EMIT(odd, 0x48, 0x83, 0xe4, 0xf0);           /* and rsp, -16 */
    EMIT(odd, 0x48, 0x83, 0xec, (uint8_t)space); /* sub rsp, space */
    for (uint32_t i = count; i-- > 0;)
        emit_argument64(odd, i, arguments[i]);
    EMIT(odd, 0xff, 0x15); /* call [rip+...] */
    emit_relative(odd, function);
    EMIT(odd, 0x48, 0x89, 0xdc, 0x5b); /* mov rsp, rbx; pop rbx */
    if (result) {
        EMIT(odd, 0x48, 0x89, 0x05); /* mov [rip+...], rax */
        emit_relative(odd, result);
    }
}

static void call32(struct odd *odd, uint32_t function, uint32_t result,
                   const struct odd_argument *arguments, uint32_t count)
{
    EMIT(odd, 0x53, 0x55, 0x89, 0xe5); /* push ebx; push ebp; mov ebp, esp */
    EMIT(odd, 0xe8, 0, 0, 0, 0, 0x5b); /* call next; next: pop ebx */
    uint32_t where = odd_here(odd) - 1;
    for (uint32_t i = count; i-- > 0;) {
        if (arguments[i].kind == ODD_ARGUMENT_VALUE) {
            EMIT(odd, 0x68); /* push value */
            emit32(odd, arguments[i].value);
            continue;
        }
        /* lea or mov eax, [ebx+...]; push eax */
        EMIT(odd, arguments[i].kind == ODD_ARGUMENT_AT ? 0x8d : 0x8b, 0x83);
        emit32(odd, arguments[i].value - where);
        EMIT(odd, 0x50);
    }
    EMIT(odd, 0xff, 0x93); /* call [ebx+...] */
    emit32(odd, function - where);
    if (result) {
        EMIT(odd, 0x89, 0x83); /* mov [ebx+...], eax */
        emit32(odd, result - where);
    }
    EMIT(odd, 0x89, 0xec, 0x5d, 0x5b); /* mov esp, ebp; pop ebp; pop ebx */
}

void odd_calls_call(struct odd_calls *c, uint32_t function, uint32_t result,
                    const struct odd_argument *arguments, uint32_t count)
{
    if (c->odd->code.wide)
        call64(c->odd, function, result, arguments, count);
    else
        call32(c->odd, function, result, arguments, count);
}

/* ---- values: through eax/rax and ecx/rcx ---- */

/* One instruction, with REX.W in x86-64. */
static void emit_wide(struct odd *odd, const uint8_t *bytes, uint32_t size)
{
    if (odd->code.wide)
        EMIT(odd, 0x48);
    odd_emit(odd, bytes, size);
}
#define WIDE(odd, ...) \
    emit_wide(odd, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void store_result(struct odd *odd, uint32_t to)
{
    WIDE(odd, 0x89, 0xc1); /* mov rcx, rax */
    odd_address(odd, to);
    WIDE(odd, 0x89, 0x08); /* mov [rax], rcx */
}

void odd_calls_compute(struct odd_calls *c, uint32_t to, uint32_t from, uint32_t mask,
                       uint32_t added)
{
    odd_address(c->odd, from);
    WIDE(c->odd, 0x8b, 0x00); /* mov rax, [rax] */
    WIDE(c->odd, 0x25);       /* and rax, mask */
    emit32(c->odd, mask);
    WIDE(c->odd, 0x05); /* add rax, added */
    emit32(c->odd, added);
    store_result(c->odd, to);
}

void odd_calls_load32(struct odd_calls *c, uint32_t to, uint32_t pointer)
{
    odd_address(c->odd, pointer);
    WIDE(c->odd, 0x8b, 0x00); /* mov rax, [rax] */
    EMIT(c->odd, 0x8b, 0x00); /* mov eax, [rax] */
    store_result(c->odd, to);
}

/* ---- DllMain ---- */

uint32_t odd_reason(struct odd *odd, uint8_t reason)
{
    if (odd->code.wide)
        EMIT(odd, 0x83, 0xfa, reason); /* cmp edx, reason */
    else
        EMIT(odd, 0x83, 0x7c, 0x24, 0x08, reason); /* cmp dword [esp+8], reason */
    EMIT(odd, 0x0f, 0x85);                         /* jne */
    emit32(odd, 0);
    return odd->code.size;
}

void odd_reason_end(struct odd *odd, uint32_t mark)
{
    pebuild_put32(odd->code.data, mark - 4, odd->code.size - mark);
}

void odd_dll_main(struct odd *odd, const char *attach, const char *detach)
{
    const char *const texts[] = {detach, attach};
    for (uint8_t reason = 2; reason-- > 0;) {
        uint32_t mark = odd_reason(odd, reason);
        odd_print(odd, texts[reason]);
        odd_return(odd, 1);
        odd_reason_end(odd, mark);
    }
    odd_return(odd, 1);
}
