// Usage of the generated client by an application: create a user, log in, verify tokens, print the results.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"doorward.example/client/doorward"
)

func main() {
	ctx := context.Background()
	authorize := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+os.Getenv("DOORWARD_TOKEN"))
		return nil
	}
	client, err := doorward.NewClientWithResponses(os.Getenv("DOORWARD_URL"), doorward.WithRequestEditorFn(authorize))
	check(err)
	password := "pw"
	user := doorward.CreateUserRequest{Login: "alice", Email: "alice@example.org", Sub: "17", Password: &password}
	created, err := client.CreateUserWithResponse(ctx, user)
	check(err)
	body := doorward.LoginRequest{Login: "alice", Password: "wrong", DeviceId: "laptop"}
	refused, err := client.LoginUserWithResponse(ctx, body)
	check(err)
	body.Password = password
	login, err := client.LoginUserWithResponse(ctx, body)
	check(err)
	tokens := doorward.BatchVerifyRequest{Tokens: []string{login.JSON200.AccessToken, "x"}}
	batch, err := client.VerifyUserTokensWithResponse(ctx, tokens)
	check(err)
	active, err := batch.JSON200.Results[0].AsActiveToken()
	check(err)
	inactive, err := batch.JSON200.Results[1].AsInactiveToken()
	check(err)
	fmt.Println(created.JSON200.Login, refused.JSON403.Code, active.Decoded.Login, active.Active, inactive.Active)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
