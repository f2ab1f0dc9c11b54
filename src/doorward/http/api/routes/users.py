"""Endpoints of users: create, list, update, delete, import, export, passwords."""

from http import HTTPStatus

from doorward.core.errors import (
    Conflict,
    IncorrectPassword,
    InvalidResetCode,
    InvalidToken,
    LoginExists,
    LoginNotFound,
    QuotaExceeded,
    TooManyRequests,
    UserDisabled,
    ValidationFailed,
)
from doorward.core.model import Permission
from doorward.core.users.model import SearchField
from doorward.http.api import examples, schemas
from doorward.http.api.endpoint import Auth, Endpoint
from doorward.http.api.handlers import auth, user_transfer, users
from doorward.http.api.routes import common
from doorward.http.bodies import LARGE_BODY
from doorward.http.errors import PayloadTooLarge, TooManyLargeBodies

TAG = "Users"

ENDPOINTS = (
    Endpoint(
        "POST",
        "/user",
        operation_id="createUser",
        summary="Create a user",
        description=(
            "A user has a `password` or a `passwordHash`. A bcrypt string in `password` is a password "
            "like any other, unless the tenant's setting `readyHashes`, or `LEGACY_READY_HASHES` of the "
            "service, makes it a hash. An existing login is rejected, or replaced where "
            "`EXISTING_LOGIN=replace` is set: the user then keeps its id, gets the new password and "
            "attributes, and all of its sessions are revoked."
        ),
        tag=TAG,
        handler=users.create_user,
        auth=Auth.TENANT,
        permission=Permission.USERS_WRITE,
        errors=(*common.JSON_BODY, *common.AUTHENTICATED, LoginExists, QuotaExceeded, TooManyRequests),
        request_body=schemas.CreateUserRequest,
        response_body=schemas.UserResponse,
        example=examples.USER,
        hashes_password=True,
    ),
    Endpoint(
        "GET",
        "/user",
        operation_id="listUsers",
        summary="List or search users",
        description=(
            "In the order of their logins. At most one of `q`, `email`, `sub` and `id` restricts the "
            "list: to logins that contain a text, or to users with exactly this e-mail address, `sub` or "
            "id. For the next page, send `nextCursor` as `cursor`. A page of a search may be short, or "
            "empty, without being the last: only `nextCursor` marks the last page."
        ),
        tag=TAG,
        handler=users.list_users,
        auth=Auth.TENANT,
        permission=Permission.USERS_READ,
        errors=(*common.AUTHENTICATED, ValidationFailed, TooManyRequests),
        response_body=schemas.UserPage,
        query=(*SearchField, "cursor", "limit"),
        alternatives=tuple(SearchField),
    ),
    Endpoint(
        "DELETE",
        "/user/{login}",
        operation_id="deleteUser",
        operation_id_by_user_id="deleteUserById",
        summary="Delete a user and revoke its sessions",
        description="Once this returns, no worker accepts a token of the user.",
        tag=TAG,
        handler=users.delete_user,
        auth=Auth.TENANT,
        permission=Permission.USERS_WRITE,
        errors=(*common.AUTHENTICATED, LoginNotFound, TooManyRequests),
        response_body=schemas.ResultResponse,
    ),
    Endpoint(
        "GET",
        "/user/{login}",
        operation_id="getUser",
        operation_id_by_user_id="getUserById",
        summary="Get a user",
        description="No response contains the password or its hash.",
        tag=TAG,
        handler=users.get_user,
        auth=Auth.TENANT,
        permission=Permission.USERS_READ,
        errors=(*common.AUTHENTICATED, LoginNotFound, TooManyRequests),
        response_body=schemas.UserResponse,
    ),
    Endpoint(
        "PUT",
        "/user/{login}",
        operation_id="putUser",
        summary="Create or replace a user",
        description=(
            "201 for a new user, 200 for an existing one, which keeps its id, dates and `disabled`. A "
            "password other than the present one revokes all sessions of the user. Sending the same "
            "password again changes nothing; a `passwordHash` replaces the password again once the user "
            "has logged in, because a login renews the stored hash."
        ),
        tag=TAG,
        handler=users.put_user,
        auth=Auth.TENANT,
        permission=Permission.USERS_WRITE,
        errors=(*common.JSON_BODY, *common.AUTHENTICATED, QuotaExceeded, Conflict, TooManyRequests),
        request_body=schemas.PutUserRequest,
        response_body=schemas.UserResponse,
        example=examples.PUT_USER,
        extra_responses={HTTPStatus.CREATED: examples.USER_RESPONSE},
        hashes_password=True,
    ),
    Endpoint(
        "PATCH",
        "/user/{login}",
        operation_id="updateUser",
        operation_id_by_user_id="updateUserById",
        summary="Update a user",
        description=(
            "Absent fields stay. `null` removes `company` and `metadata`. `disabled: true` revokes the "
            "sessions and rejects logins; a new `password` or `passwordHash` revokes the sessions. So "
            "does a new `login`, because tokens contain it: id, password and failed attempts stay with "
            "the user, reset codes become void, and the former login is free. A new `email` is not "
            "verified unless `emailVerified` is true. A new `scope` is in tokens from the next login on."
        ),
        tag=TAG,
        handler=users.update_user,
        auth=Auth.TENANT,
        permission=Permission.USERS_WRITE,
        errors=(*common.JSON_BODY, *common.AUTHENTICATED, LoginNotFound, LoginExists, Conflict, TooManyRequests),
        request_body=schemas.UpdateUserRequest,
        response_body=schemas.UserResponse,
        example=examples.USER_CHANGES,
        hashes_password=True,
    ),
    Endpoint(
        "POST",
        "/users/import",
        operation_id="importUsers",
        summary="Import users with their password hashes",
        description=(
            "Nothing is hashed: each hash is compared as it is at the user's first login, and renewed "
            "then. An existing user with the same login and `sub` is left unchanged, so the same body may "
            "be sent again; a login of a user with another `sub` is rejected as `login_taken`. With "
            "`dryRun` nothing is stored. A user whose `emailVerified` is false is imported as disabled, "
            "unless `unconfirmed` says otherwise; one without `emailVerified` is not. A call counts as "
            "ten changes, and each kB of a body above 16 kB like one verification, both in budgets of "
            "their own. After 429 or 503 wait as `Retry-After` says and send the same body again."
        ),
        tag=TAG,
        handler=user_transfer.import_users,
        auth=Auth.TENANT,
        permission=Permission.USERS_WRITE,
        errors=(
            *common.JSON_BODY,
            *common.AUTHENTICATED,
            Conflict,
            PayloadTooLarge,
            TooManyRequests,
            TooManyLargeBodies,
        ),
        request_body=schemas.ImportUsersRequest,
        response_body=schemas.ImportUsersResponse,
        example=examples.IMPORT_USERS,
        query=("dryRun", "unconfirmed"),
        max_body_bytes=LARGE_BODY,
    ),
    Endpoint(
        "GET",
        "/users/export",
        operation_id="exportUsers",
        summary="Export all users as newline-delimited JSON",
        description=(
            "One line of JSON per user, in the order of their logins, in chunks: a response without its "
            "last chunk is incomplete. With `hashes` each line has a `passwordHash`; an API key then "
            "needs `users:write` too."
        ),
        tag=TAG,
        handler=user_transfer.export_users,
        auth=Auth.TENANT,
        permission=Permission.USERS_READ,
        errors=(*common.AUTHENTICATED, ValidationFailed, TooManyRequests),
        response_body=schemas.ExportedUser,
        query=("hashes",),
        media_type="application/x-ndjson",
    ),
    Endpoint(
        "POST",
        "/user/{login}/password",
        operation_id="changeUserPassword",
        operation_id_by_user_id="changeUserPasswordById",
        summary="Change a user's password with the current one and revoke its other sessions",
        description=(
            "A wrong current password counts as a failed login. All other sessions are revoked; that of "
            "`keepToken`, a live token of the same user, stays valid."
        ),
        tag=TAG,
        handler=users.change_user_password,
        auth=Auth.TENANT,
        permission=Permission.USERS_WRITE,
        errors=(
            *common.JSON_BODY,
            *common.AUTHENTICATED,
            LoginNotFound,
            IncorrectPassword,
            UserDisabled,
            InvalidToken,
            Conflict,
            *common.GUESSABLE,
        ),
        request_body=schemas.ChangeUserPasswordRequest,
        response_body=schemas.ResultResponse,
        example=examples.NEW_PASSWORD,
        hashes_password=True,
    ),
    Endpoint(
        "POST",
        "/user/{login}/password/reset",
        operation_id="createResetCode",
        operation_id_by_user_id="createResetCodeById",
        summary="Create a single-use code that sets a user's password",
        description=(
            "The code is valid for ten minutes and one use; an earlier one becomes void. Doorward sends "
            "no message: the tenant delivers the code. Every holder of the code can set the password, so "
            "show it to the user only."
        ),
        tag=TAG,
        handler=users.create_reset_code,
        auth=Auth.TENANT,
        permission=Permission.USERS_WRITE,
        errors=(*common.AUTHENTICATED, LoginNotFound, TooManyRequests),
        response_body=schemas.ResetCodeResponse,
    ),
    Endpoint(
        "DELETE",
        "/user/{login}/failures",
        operation_id="unlockUser",
        operation_id_by_user_id="unlockUserById",
        summary="Reset the failed login attempts of a user",
        description=(
            "The user may log in at once, also after `account_locked`. The failures of its live sessions, "
            "which are counted separately, are reset as well. Sessions and the password stay as they are."
        ),
        tag=TAG,
        handler=users.unlock_user,
        auth=Auth.TENANT,
        permission=Permission.USERS_WRITE,
        errors=(*common.AUTHENTICATED, LoginNotFound, TooManyRequests),
        response_body=schemas.ResultResponse,
    ),
    Endpoint(
        "POST",
        "/auth/reset",
        operation_id="resetPassword",
        summary="Set a user's password with a reset code and revoke its sessions",
        description=(
            "A used, expired, void or unknown code is rejected, without saying which. A password that the "
            "tenant's policy rejects leaves the code valid."
        ),
        tag=TAG,
        handler=auth.reset_password,
        auth=Auth.TENANT,
        permission=Permission.USERS_WRITE,
        errors=(*common.JSON_BODY, *common.AUTHENTICATED, InvalidResetCode, TooManyRequests),
        request_body=schemas.ResetPasswordRequest,
        response_body=schemas.ResultResponse,
        example=examples.RESET,
        hashes_password=True,
    ),
)
