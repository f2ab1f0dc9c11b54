-- Asks Doorward about each request of HAProxy 2.6 or newer. docs/gateways.md explains it.
local ADDRESS = "http://127.0.0.1:3000/forward-auth"
local KEY = "REPLACE-WITH-THE-KEY"
-- For one attempt; HAProxy makes up to four if Doorward is unavailable.
local MILLISECONDS = 1000
-- Where browsers without a session go, such as "https://login.example.org/". Empty: they get a 401 like other clients.
local LOGIN_PAGE = ""
local TOLD = { "x-auth-user-id", "x-auth-login", "x-auth-sub", "x-auth-tenant", "x-auth-scope", "x-auth-device" }

local function first(headers, name)
    return headers and headers[name] and headers[name][0]
end

-- The address of the login page for a browser that asks for a page, nil for any other client.
local function login_page(txn, sent)
    local accept = first(sent, "accept") or ""
    if LOGIN_PAGE == "" or txn.f:method() ~= "GET" or not accept:find("text/html", 1, true) then
        return nil
    end
    local scheme = txn.f:ssl_fc() == 1 and "https" or "http"
    return LOGIN_PAGE .. "?return_to=" .. scheme .. "://" .. (first(sent, "host") or "") .. txn.f:pathq()
end

core.register_action("doorward", { "http-req" }, function(txn)
    local sent = txn.http:req_get_headers()
    local asked = { ["x-doorward-key"] = { KEY } }
    -- Of the cookies, Doorward reads the one that FORWARD_AUTH_COOKIE names there.
    for _, name in ipairs({ "authorization", "cookie" }) do
        local value = first(sent, name)
        if value then
            asked[name] = { value }
        end
    end
    local answer = core.httpclient():get({ url = ADDRESS, headers = asked, timeout = MILLISECONDS })
    if answer and answer.status == 200 then
        for _, name in ipairs(TOLD) do
            local value = first(answer.headers, name)
            if value and value ~= "" then
                txn.http:req_set_header(name, value)
            end
        end
        return
    end
    -- Anything but a clear yes is a no: the user's where Doorward says so, else ours.
    local reply = txn:reply()
    local page = answer and answer.status == 401 and login_page(txn, sent)
    if page then
        reply:set_status(302)
        reply:add_header("location", page)
    elseif answer and (answer.status == 401 or answer.status == 403) then
        reply:set_status(answer.status)
        reply:add_header("www-authenticate", "Bearer")
    else
        reply:set_status(503)
        reply:add_header("retry-after", "1")
    end
    reply:add_header("cache-control", "no-store")
    txn:done(reply)
end)
