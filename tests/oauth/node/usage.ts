// Usage of the generated types by an application. It has to compile under `strict`.
import type { components, paths } from './doorward'

type Schemas = components['schemas']
type Refused<Path extends '/auth' | '/auth/verify', Status extends 403 | 422> =
  paths[Path]['post']['responses'][Status]['content']['application/json']

export const login: Schemas['LoginRequest'] = { login: 'alice', password: 'secret', deviceId: 'laptop' }
export const user: Schemas['CreateUserRequest'] = { login: 'alice', password: 'secret', email: 'a@example.org', sub: '17' }

// The switch is exhaustive, because `code` is an enum.
export function explain(error: Refused<'/auth', 403>): string {
  switch (error.code) {
    case 'incorrect_password':
      return 'wrong password'
    case 'user_disabled':
      return 'disabled'
    case 'permission_denied':
    case 'origin_not_allowed':
      return error.error
  }
}

// Alternatives are told apart by `code`.
export function faultyFields(error: Refused<'/auth/verify', 422>): string[] {
  if (error.code !== 'validation_error') return []
  return error.error.details.map((fault) => `${fault.context.key} ${fault.context.limit ?? ''}`)
}

// Items of a batch are told apart by `active`.
export function loginOf(item: Schemas['BatchVerifyResponse']['results'][number]): string | undefined {
  return item.active ? item.decoded.login : undefined
}

// @ts-expect-error - no such code at this response
export const unknown: Refused<'/auth', 403>['code'] = 'key_not_found'
// @ts-expect-error - a token that is not active has no claims
export const claims = (item: Schemas['InactiveToken']) => item.decoded
