/*
 * Machine code of odd images (odd.h): a handful of instructions, written for i386 and x86-64.
 *
 * All of it may stand anywhere: x86-64 reaches data by rip, i386 learns where it is by call and
 * pop. A call keeps rbx/ebx and rbp/ebp, brings the stack into the alignment and shape that the
 * callee expects and puts it back afterwards, so neither the alignment at the entry point nor the
 * callee's convention matters. Encodings: Intel SDM, volume 2.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/odd/odd.h"

enum { MAX_ARGUMENTS = 12 };

/* What is passed: a constant, or the address of an RVA. */
struct argument {
    bool address;
    uint32_t value;
};

static void emit(struct odd_code *code, const void *bytes, uint32_t size)
{
    if (code->size + size > code->capacity) {
        code->capacity = (code->size + size) * 2;
        code->data = realloc(code->data, code->capacity);
        if (!code->data)
            abort();
    }
    memcpy(code->data + code->size, bytes, size);
    code->size += size;
}

#define EMIT(code, ...) \
    emit(code, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void emit32(struct odd_code *code, uint32_t value)
{
    uint8_t bytes[4];
    pebuild_put32(bytes, 0, value);
    emit(code, bytes, sizeof(bytes));
}

static uint32_t here(const struct odd_code *code)
{
    return code->rva + code->size;
}

/* A displacement to `rva` that counts from `after` bytes behind its own end. */
static void emit_relative(struct odd_code *code, uint32_t rva, uint32_t after)
{
    emit32(code, rva - (here(code) + 4 + after));
}

/* i386: ebx becomes the address of the RVA that is returned. */
static uint32_t emit_where(struct odd_code *code)
{
    EMIT(code, 0xe8, 0, 0, 0, 0); /* call next */
    EMIT(code, 0x5b);             /* next: pop ebx */
    return here(code) - 1;
}

/* A jump of 5 (`opcode` e9) or 6 bytes (0f 8x) to where emit_land() will be called. */
static uint32_t emit_jump(struct odd_code *code, uint8_t condition)
{
    if (condition)
        EMIT(code, 0x0f, condition);
    else
        EMIT(code, 0xe9);
    emit32(code, 0);
    return code->size;
}

static void emit_land(struct odd_code *code, uint32_t jump)
{
    pebuild_put32(code->data, jump - 4, code->size - jump);
}

static void emit_argument64(struct odd_code *code, uint32_t index, struct argument argument)
{
    static const uint8_t lea[4][3] = {
        {0x48, 0x8d, 0x0d}, {0x48, 0x8d, 0x15}, {0x4c, 0x8d, 0x05}, {0x4c, 0x8d, 0x0d}};
    static const uint8_t mov[4][2] = {{0x40, 0xb9}, {0x40, 0xba}, {0x41, 0xb8}, {0x41, 0xb9}};
    if (index < 4 && argument.address) {
        emit(code, lea[index], 3);
        emit_relative(code, argument.value, 0);
    } else if (index < 4) {
        emit(code, mov[index], 2);
        emit32(code, argument.value);
    } else {
        if (argument.address) {
            EMIT(code, 0x48, 0x8d, 0x05); /* lea rax, [rip+...] */
            emit_relative(code, argument.value, 0);
        } else {
            EMIT(code, 0xb8); /* mov eax, value */
            emit32(code, argument.value);
        }
        EMIT(code, 0x48, 0x89, 0x44, 0x24, (uint8_t)(index * 8)); /* mov [rsp+...], rax */
    }
}

static void emit_call64(struct odd_code *code, uint32_t iat, const struct argument *arguments,
                        uint32_t count)
{
    uint32_t space = count <= 4 ? 0x20 : (count * 8 + 15) & ~15u;
    EMIT(code, 0x53);                             /* push rbx */
    EMIT(code, 0x48, 0x89, 0xe3);                 /* mov rbx, rsp */
    EMIT(code, 0x48, 0x83, 0xe4, 0xf0);           /* and rsp, -16 */
    EMIT(code, 0x48, 0x83, 0xec, (uint8_t)space); /* sub rsp, space */
    for (uint32_t i = count; i-- > 0;)
        emit_argument64(code, i, arguments[i]);
    EMIT(code, 0xff, 0x15); /* call [rip+...] */
    emit_relative(code, iat, 0);
    EMIT(code, 0x48, 0x89, 0xdc); /* mov rsp, rbx */
    EMIT(code, 0x5b);             /* pop rbx */
}

static void emit_call32(struct odd_code *code, uint32_t iat, const struct argument *arguments,
                        uint32_t count)
{
    EMIT(code, 0x53, 0x55); /* push ebx; push ebp */
    EMIT(code, 0x89, 0xe5); /* mov ebp, esp */
    uint32_t where = emit_where(code);
    for (uint32_t i = count; i-- > 0;) {
        if (arguments[i].address) {
            EMIT(code, 0x8d, 0x83); /* lea eax, [ebx+...] */
            emit32(code, arguments[i].value - where);
            EMIT(code, 0x50); /* push eax */
        } else {
            EMIT(code, 0x68); /* push value */
            emit32(code, arguments[i].value);
        }
    }
    EMIT(code, 0xff, 0x93); /* call [ebx+...] */
    emit32(code, iat - where);
    EMIT(code, 0x89, 0xec); /* mov esp, ebp */
    EMIT(code, 0x5d, 0x5b); /* pop ebp; pop ebx */
}

static void emit_call(struct odd_code *code, uint32_t iat, const struct argument *arguments,
                      uint32_t count)
{
    if (count > MAX_ARGUMENTS)
        abort();
    if (code->wide)
        emit_call64(code, iat, arguments, count);
    else
        emit_call32(code, iat, arguments, count);
}

/* A text among the code, jumped over: a format string that printf prints as `text` and a line end.
 */
static uint32_t emit_text(struct odd_code *code, const char *text)
{
    uint32_t jump = emit_jump(code, 0), rva = here(code);
    for (const char *c = text; *c; c++)
        emit(code, *c == '%' ? "%%" : c, *c == '%' ? 2 : 1);
    emit(code, "\n", 2);
    emit_land(code, jump);
    return rva;
}

void odd_code_begin(struct odd_code *code, uint32_t rva, uint32_t printf_iat, uint32_t exit_iat)
{
    *code = (struct odd_code){
        .wide = sizeof(void *) == 8, .rva = rva, .printf_iat = printf_iat, .exit_iat = exit_iat};
}

void odd_code_free(struct odd_code *code)
{
    free(code->data);
    code->data = NULL;
    code->size = code->capacity = 0;
}

void odd_code_emit(struct odd_code *code, const void *bytes, uint32_t size)
{
    emit(code, bytes, size);
}

void odd_code_print(struct odd_code *code, const char *text)
{
    struct argument format = {true, emit_text(code, text)};
    emit_call(code, code->printf_iat, &format, 1);
}

void odd_code_exit(struct odd_code *code, uint8_t exit_code)
{
    struct argument argument = {false, exit_code};
    emit_call(code, code->exit_iat, &argument, 1);
}

void odd_code_return(struct odd_code *code, uint32_t value, uint16_t popped)
{
    EMIT(code, 0xb8); /* mov eax, value */
    emit32(code, value);
    if (code->wide || popped == 0)
        EMIT(code, 0xc3); /* ret */
    else
        EMIT(code, 0xc2, (uint8_t)popped, (uint8_t)(popped >> 8)); /* ret popped */
}

void odd_code_call(struct odd_code *code, uint32_t iat_rva, uint32_t argument_count,
                   const uint32_t *constants)
{
    struct argument arguments[MAX_ARGUMENTS] = {0};
    if (argument_count > MAX_ARGUMENTS)
        abort();
    for (uint32_t i = 0; i < argument_count; i++)
        arguments[i].value = constants[i];
    emit_call(code, iat_rva, arguments, argument_count);
}

void odd_code_address(struct odd_code *code, uint32_t rva)
{
    if (code->wide) {
        EMIT(code, 0x48, 0x8d, 0x05); /* lea rax, [rip+...] */
        emit_relative(code, rva, 0);
        return;
    }
    EMIT(code, 0xe8, 0, 0, 0, 0, 0x58); /* call next; next: pop eax */
    uint32_t where = here(code) - 1;
    EMIT(code, 0x05); /* add eax, ... */
    emit32(code, rva - where);
}

/* An instruction whose operands are the 32 bits at `rva` and a constant; ebx and rbx are kept. */
static void emit_memory(struct odd_code *code, uint8_t opcode, uint8_t extension, uint32_t rva,
                        uint32_t value)
{
    if (code->wide) {
        EMIT(code, opcode, (uint8_t)(0x05 | extension << 3));
        emit_relative(code, rva, 4);
        emit32(code, value);
        return;
    }
    EMIT(code, 0x53); /* push ebx */
    uint32_t where = emit_where(code);
    EMIT(code, opcode, (uint8_t)(0x83 | extension << 3));
    emit32(code, rva - where);
    emit32(code, value);
    EMIT(code, 0x5b); /* pop ebx */
}

void odd_code_store32(struct odd_code *code, uint32_t rva, uint32_t value)
{
    emit_memory(code, 0xc7, 0, rva, value); /* mov [rva], value */
}

void odd_code_print_if32(struct odd_code *code, uint32_t rva, uint32_t value, const char *yes,
                         const char *no)
{
    emit_memory(code, 0x81, 7, rva, value);     /* cmp [rva], value */
    uint32_t otherwise = emit_jump(code, 0x85); /* jne */
    odd_code_print(code, yes);
    uint32_t end = emit_jump(code, 0);
    emit_land(code, otherwise);
    odd_code_print(code, no);
    emit_land(code, end);
}

/* ---- the same for an odd -------------------------------------------------------------------- */

void odd_print(struct odd *odd, const char *text)
{
    odd_code_print(&odd->code, text);
}

void odd_exit(struct odd *odd, uint8_t code)
{
    odd_code_exit(&odd->code, code);
}

void odd_return(struct odd *odd, uint32_t value)
{
    bool dll = odd->b && odd->b->h.characteristics & IMAGE_FILE_DLL;
    odd_code_return(&odd->code, value, dll ? 12 : 0);
}

void odd_call_import(struct odd *odd, uint32_t iat_rva, uint32_t argument_count,
                     const uint32_t *arguments)
{
    odd_code_call(&odd->code, iat_rva, argument_count, arguments);
}

void odd_address(struct odd *odd, uint32_t rva)
{
    odd_code_address(&odd->code, rva);
}

void odd_store32(struct odd *odd, uint32_t rva, uint32_t value)
{
    odd_code_store32(&odd->code, rva, value);
}

void odd_print_if32(struct odd *odd, uint32_t rva, uint32_t value, const char *yes, const char *no)
{
    odd_code_print_if32(&odd->code, rva, value, yes, no);
}

void odd_emit(struct odd *odd, const void *bytes, uint32_t size)
{
    emit(&odd->code, bytes, size);
}

uint32_t odd_here(const struct odd *odd)
{
    return here(&odd->code);
}
