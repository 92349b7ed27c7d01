// Scores photos over HTTP with Go's standard library:
//
//	go run examples/score.go http://localhost:8000 a.jpg b.jpg
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"os"
	"strconv"
)

const model = "nima"

type tensor struct {
	Name       string         `json:"name"`
	Datatype   string         `json:"datatype"`
	Shape      []int          `json:"shape"`
	Parameters map[string]any `json:"parameters"`
}

// requestBody is a JSON header and, behind it, each file with its length in front.
func requestBody(files [][]byte) (header, body []byte, err error) {
	var data []byte
	for _, file := range files {
		data = binary.LittleEndian.AppendUint32(data, uint32(len(file)))
		data = append(data, file...)
	}
	header, err = json.Marshal(map[string]any{
		"inputs": []tensor{{"IMAGE", "BYTES", []int{len(files), 1},
			map[string]any{"binary_data_size": len(data)}}},
		// Binary, since the numbers of a photo that failed are NaN, which JSON does not have.
		"parameters": map[string]any{"binary_data_output": true},
	})
	return header, append(header, data...), err
}

// outputs gives the numbers and the texts of an answer, by the outputs' names.
func outputs(answer []byte, headerLength int) (map[string][]float32, map[string][]string, error) {
	var header struct {
		Outputs []tensor `json:"outputs"`
	}
	if err := json.Unmarshal(answer[:headerLength], &header); err != nil {
		return nil, nil, err
	}
	numbers, texts := map[string][]float32{}, map[string][]string{}
	data := answer[headerLength:]
	for _, output := range header.Outputs {
		size := int(output.Parameters["binary_data_size"].(float64))
		for part := data[:size]; len(part) > 0; {
			word := binary.LittleEndian.Uint32(part)
			part = part[4:]
			if output.Datatype == "FP32" {
				numbers[output.Name] = append(numbers[output.Name], math.Float32frombits(word))
			} else {
				texts[output.Name] = append(texts[output.Name], string(part[:word]))
				part = part[word:]
			}
		}
		data = data[size:]
	}
	return numbers, texts, nil
}

func main() {
	server, paths := os.Args[1], os.Args[2:]
	var files [][]byte
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			log.Fatal(err)
		}
		files = append(files, file)
	}
	header, body, err := requestBody(files)
	if err != nil {
		log.Fatal(err)
	}
	request, err := http.NewRequest("POST", server+"/v2/models/"+model+"/infer", bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Inference-Header-Content-Length", strconv.Itoa(len(header)))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		log.Fatal(response.Status, string(answer), err)
	}
	length, err := strconv.Atoi(response.Header.Get("Inference-Header-Content-Length"))
	if err != nil {
		log.Fatal(err)
	}
	numbers, texts, err := outputs(answer, length)
	if err != nil {
		log.Fatal(err)
	}
	for i, path := range paths {
		if text := texts["ERROR"][i]; text != "" {
			fmt.Println(path, text)
		} else {
			fmt.Println(path, numbers["MEAN"][i], numbers["STD"][i])
		}
	}
}
